"""The terminal: one progress bar style and one way to say a line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def print_line(text: str) -> None:
    """One line to the terminal, as it is; of several processes that work together the first one speaks."""
    if os.environ.get("RANK", "0") == "0":
        Console(highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar of `total` steps (None: unknown), drawn on a terminal only; yields what advances it."""
    columns = (
        TextColumn("  {task.description:<12}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console()
    drawn = console.is_terminal and os.environ.get("RANK", "0") == "0"
    with Progress(*columns, console=console, transient=True, disable=not drawn) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
