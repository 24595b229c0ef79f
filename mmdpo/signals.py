"""How a cluster's "stop" reaches a training: SIGUSR2 before a time limit, SIGTERM at preemption or scancel.

Outside of the training loop the signal ends the work at once, since every file is written aside. Inside, it
is noted, and the loop saves a checkpoint at the end of the step. A process that waits for others inside a
collective operation hears of it only when that returns; SLURM's SIGKILL ends one that never does.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CAUSES = {signal.SIGUSR2: "time_limit", signal.SIGTERM: "terminated"}


class Interrupted(BaseException):
    """The cluster asked this process to stop; `cause` is time_limit or terminated.

    No Exception, as KeyboardInterrupt is none: who makes up for errors must not make up for this.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"interrupted: {cause}")
        self.cause = cause


_listening = False
_asked: str | None = None  # the first signal's cause
_in_loop = False


def listen() -> None:
    """Answer the signals from now on; for the main thread of a job's process."""
    global _listening
    for number in CAUSES:
        signal.signal(number, _note)
    _listening = True


def is_listening() -> bool:
    """Whether this process was told to answer the signals."""
    return _listening


def asked() -> str | None:
    """The cause of the first signal; None while there was none."""
    return _asked


def raise_if_asked() -> None:
    """Raise Interrupted where a signal was noted; for the first place after a loop."""
    if _asked is not None:
        raise Interrupted(_asked)


@contextmanager
def training_loop() -> Iterator[None]:
    """Around a loop that looks at `asked` itself, at places where it can save."""
    global _in_loop
    _in_loop = True
    try:
        yield
    finally:
        _in_loop = False


def _note(number: int, frame: FrameType | None) -> None:
    """SLURM sends several signals; the first one counts."""
    global _asked
    if _asked is not None:
        return
    _asked = CAUSES[signal.Signals(number)]
    if not _in_loop:
        raise Interrupted(_asked)


def forget() -> None:
    """Go back to the state before `listen`."""
    global _listening, _asked
    for number in CAUSES:
        signal.signal(number, signal.SIG_DFL)
    _listening, _asked = False, None
