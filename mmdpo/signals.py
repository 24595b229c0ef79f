"""Signals by which a cluster stops a training: SIGUSR2 before a time limit, SIGTERM at preemption or scancel.

Outside of the training loop a signal ends the work at once, because every file is written atomically. Inside the
loop the signal is recorded, and the loop saves a checkpoint at the end of the step. A process that waits for
others in a collective operation handles the signal when the operation returns. If it never returns, SLURM sends
SIGKILL.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CAUSES = {signal.SIGUSR2: "time_limit", signal.SIGTERM: "terminated"}


class Interrupted(BaseException):
    """A request of the cluster that this process stop; `cause` is time_limit or terminated.

    A BaseException, so that `except Exception` does not swallow it.
    """

    def __init__(self, cause: str) -> None:
        """Record the cause, one of the values of CAUSES."""
        super().__init__(f"interrupted: {cause}")
        self.cause = cause


_listening = False
_asked: str | None = None  # the cause of the first signal
_in_loop = False


def listen() -> None:
    """Handle the signals from now on; call it in the main thread of a job's process."""
    global _listening
    for number in CAUSES:
        signal.signal(number, _handle)
    _listening = True


def is_listening() -> bool:
    """Return whether this process handles the signals."""
    return _listening


def asked() -> str | None:
    """Return the cause of the first signal; None if there was none."""
    return _asked


def raise_if_asked() -> None:
    """Raise Interrupted if a signal was recorded; call it right after a training loop."""
    if _asked is not None:
        raise Interrupted(_asked)


@contextmanager
def training_loop() -> Iterator[None]:
    """Record signals instead of raising; for a loop that checks `asked` whenever it can save."""
    global _in_loop
    _in_loop = True
    try:
        yield
    finally:
        _in_loop = False


def _handle(number: int, frame: FrameType | None) -> None:
    """Handle the first signal and ignore the others, because SLURM sends several."""
    global _asked
    if _asked is not None:
        return
    _asked = CAUSES[signal.Signals(number)]
    if not _in_loop:
        raise Interrupted(_asked)


def forget() -> None:
    """Restore the state before `listen`."""
    global _listening, _asked
    for number in CAUSES:
        signal.signal(number, signal.SIG_DFL)
    _listening, _asked = False, None
