"""The log of the point that this process runs, beside what it prints on the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from mmdpo.env_secrets import redacted

_log: TextIO | None = None
_written: set[str] = set()

TERMINAL_CODES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
BAR = re.compile(r"━|\d%\|")
"""Text that the progress bars of rich and tqdm contain."""


@contextmanager
def log_to(file: TextIO) -> Iterator[None]:
    """Use `file` for `write_log` within the block."""
    global _log
    before, _log = _log, file
    _written.clear()
    try:
        yield
    finally:
        _log = before


def write_log(text: str) -> None:
    """Write to the log alone, without secrets of the environment; do nothing if there is no log.

    A full disk or a closed file raises no error here.
    """
    if _log is None:
        return
    try:
        _log.write(redacted(text))
        _log.flush()
    except (OSError, ValueError):
        pass


def write_log_once(line: str) -> None:
    """Write a line to the log unless it is there already."""
    if line not in _written:
        _written.add(line)
        write_log(f"{line}\n")


@contextmanager
def copy_output(path: Path) -> Iterator[None]:
    """Append to a file, as its log, what this process prints within the block; the terminal shows it as before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = sys.stdout, sys.stderr
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file, log_to(file):
        sys.stdout, sys.stderr = _Copying(streams[0]), _Copying(streams[1])
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams


class _Copying:
    """A stream whose lines are also written to the log; its other attributes are those of the terminal's stream.

    A library's handler may keep it: later it writes to the log of the point that runs then.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write to the stream and, without progress bars, to the log."""
        write_log(without_bars(text))
        return int(self._stream.write(text) or 0)

    def writelines(self, lines: list[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def without_bars(text: str) -> str:
    """Remove a terminal's codes, and lines that a progress bar overwrites."""
    lines = TERMINAL_CODES.sub("", text).splitlines(keepends=True) if "\x1b" in text or "\r" in text else [text]
    return "".join(line for line in lines if not (BAR.search(line) or line == "\r"))
