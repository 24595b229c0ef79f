"""Signals that stop a run: Ctrl-C, a closed terminal, and those of a cluster.

A cluster sends SIGUSR2 before a time limit, and SIGTERM at preemption or scancel. Outside of the training loop a
signal ends the work at once, because every file is written atomically. Inside the loop the signal is recorded, and
the loop saves a checkpoint at the end of the step. A process that waits for others in a collective operation handles
the signal when the operation returns. If it never returns, SLURM sends SIGKILL.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

CAUSES = {
    signal.SIGUSR2: "time_limit",
    signal.SIGTERM: "terminated",
    signal.SIGINT: "interrupted",
    signal.SIGHUP: "hung_up",
}
IGNORABLE = (signal.SIGINT, signal.SIGHUP)
"""Signals that stay ignored if they were, as in the background of a shell and under nohup."""

PATIENCE_SECONDS = 1.0
"""After so long, a second Ctrl-C ends the run at once; a wrapper may send the first one twice."""

SAVING = b"\nsaving a checkpoint after this step; Ctrl-C again ends at once\n"


class Interrupted(KeyboardInterrupt):
    """A request that this process stop; `cause` is one of the values of CAUSES.

    A KeyboardInterrupt, so that neither `except Exception` nor an event loop swallows it.
    """

    def __init__(self, cause: str) -> None:
        """Record the cause, one of the values of CAUSES."""
        super().__init__(f"interrupted: {cause}")
        self.cause = cause

    @property
    def exit_code(self) -> int:
        """The exit code of a program that ends by the signal, such as 130 after Ctrl-C."""
        return 128 + next(number for number, cause in CAUSES.items() if cause == self.cause)


_before: dict[signal.Signals, Any] = {}  # the handlers before `listen`
_asked: str | None = None  # the cause of the first signal
_asked_at = 0.0
_in_loop = False
_listener = 0  # the id of the process that listens; its forks have copies of all this


def listen() -> None:
    """Handle the signals from now on; call it in the main thread of a process."""
    global _listener
    _listener = os.getpid()
    for number in CAUSES:
        before = signal.getsignal(number)
        if not (number in IGNORABLE and before is signal.SIG_IGN):
            _before.setdefault(number, before)
            signal.signal(number, _handle)


@contextmanager
def listening() -> Iterator[None]:
    """Handle the signals within the block, unless this is not the main thread or they are handled already."""
    if is_listening() or threading.current_thread() is not threading.main_thread():
        yield
        return
    listen()
    try:
        yield
    finally:
        forget()


def is_listening() -> bool:
    """Return whether this process handles the signals."""
    return bool(_before)


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
    """Handle the first signal and ignore the others, because SLURM sends several; a second Ctrl-C ends the run."""
    global _asked, _asked_at
    if _asked is not None:
        if number == signal.SIGINT and time.monotonic() - _asked_at > PATIENCE_SECONDS:
            raise Interrupted(_asked)
        return
    _asked, _asked_at = CAUSES[signal.Signals(number)], time.monotonic()
    if number == signal.SIGHUP:
        _leave_terminal()
    if not _in_loop:
        raise Interrupted(_asked)
    if number == signal.SIGINT and os.environ.get("RANK", "0") == "0" and os.getpid() == _listener:
        os.write(2, SAVING)


def _leave_terminal() -> None:
    """Drop further output to a terminal that is gone: writing to it would fail."""
    with open(os.devnull, "wb") as nowhere:
        for number in (1, 2):
            if os.isatty(number) or not _is_open(number):
                os.dup2(nowhere.fileno(), number)


def _is_open(number: int) -> bool:
    """Return whether a stream is still connected: that of a closed terminal is not."""
    try:
        os.ttyname(number)
    except OSError as error:
        return error.errno != errno.EIO
    return True


def forget() -> None:
    """Restore the state before `listen`."""
    global _asked
    for number, before in _before.items():
        signal.signal(number, signal.SIG_DFL if before is None else before)
    _before.clear()
    _asked = None
