"""Waits and saved amounts of the present work, passed to whoever records it, such as a point's status.

Code deep in a stage reports; it does not know for which point it works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Recorder(Protocol):
    """A record of one point's or job's work."""

    def waiting(self, reason: str | None) -> None:
        """Note what the work waits for; None if it continues."""

    def saved(self, kind: str, amount: int) -> None:
        """Note how much of one kind of work is saved: a later run does not repeat it."""


_recorder: Recorder | None = None


@contextmanager
def recorded_by(recorder: Recorder) -> Iterator[None]:
    """Pass all reports of this process within the block to a recorder."""
    global _recorder
    before, _recorder = _recorder, recorder
    try:
        yield
    finally:
        _recorder = before


def report_waiting(reason: str | None) -> None:
    """Report what the work waits for; None if it continues."""
    if _recorder is not None:
        _recorder.waiting(reason)


def report_saved(kind: str, amount: int) -> None:
    """Report how much of a kind of work is saved, such as the step of a checkpoint.

    The amount is a position, not a difference: work that is repeated up to the same position is no progress.
    """
    if _recorder is not None:
        _recorder.saved(kind, amount)
