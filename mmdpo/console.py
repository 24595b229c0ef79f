"""Output to the terminal: lines, tables and progress bars, whose text cannot control the terminal."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Letters that move the cursor, hide or reorder text, or cannot be encoded; not line end and tab."""


def printable(text: str) -> str:
    """Return a text of a server or a file as it may be printed: control characters become visible escapes."""
    return CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def markup_safe(text: str) -> str:
    """Return the text for a cell or line that rich prints: printable, and without markup of its own."""
    return escape(printable(text))


class PrintableConsole(Console):
    """A console that prints styles of its own, and no control characters of the texts.

    The program continues after the reader of its output has ended, as `head` does.
    """

    def on_broken_pipe(self) -> None:
        """Drop all further output instead of ending the program in the middle of its work."""
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as rich's Text."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of something to print."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def make_console(**options: Any) -> Console:
    """Return a console for tables and lines, without highlighting; `options` are those of rich's Console."""
    return PrintableConsole(**{"highlight": False, **options})


def print_line(text: str) -> None:
    """Print one line without markup or wrapping; of several processes that work together, only rank 0 prints."""
    if os.environ.get("RANK", "0") == "0":
        make_console(soft_wrap=True).print(printable(text), markup=False)


def print_wrapped(console: Console, text: str, indent: int | None = None, style: str = "") -> None:
    """Print a line of a report without markup.

    Args:
        console: The console.
        text: The line.
        indent: Spaces before a text that is wrapped between words; None for a line that is printed as it is.
        style: Its style.
    """
    if indent is not None:
        space = " " * indent
        text = textwrap.fill(
            text,
            console.width,
            initial_indent=space,
            subsequent_indent=space,
            break_long_words=False,
            break_on_hyphens=False,
        )
    console.print(printable(text), style=style or None, markup=False, soft_wrap=True)


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
    console = make_console()
    visible = console.is_terminal and os.environ.get("RANK", "0") == "0"
    with Progress(*columns, console=console, transient=True, disable=not visible) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)
