"""Output to the terminal: lines and progress bars."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but newline and tab, those that change the direction of text, and halves of characters."""


def printable(text: str) -> str:
    """Replace control and bidirectional characters by visible escapes, as repr does; newline and tab are kept."""
    return UNPRINTABLE.sub(lambda found: _escape(ord(found[0])), text)


def markup_safe(text: str) -> str:
    """Return the text for a cell or line that rich prints: printable, and without markup of its own."""
    return escape(printable(text))


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class LastingConsole(Console):
    """A console whose program continues after the reader of its output has ended, as `head` does."""

    def on_broken_pipe(self) -> None:
        """Drop all further output instead of ending the program in the middle of its work."""
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def print_line(text: str) -> None:
    """Print one line without markup or wrapping; of several processes that work together, only rank 0 prints."""
    if os.environ.get("RANK", "0") == "0":
        LastingConsole(highlight=False, soft_wrap=True).print(printable(text), markup=False)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, and yield a function that advances it by a count of steps.

    `total` is the number of steps; None if it is unknown.
    """
    columns = (
        TextColumn("  {task.description:<12}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console()
    visible = console.is_terminal and os.environ.get("RANK", "0") == "0"
    with Progress(*columns, console=console, transient=True, disable=not visible) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)
