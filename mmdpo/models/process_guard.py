"""A program that runs a command and stops it with all its children as soon as its own standard input ends.

The process that starts this program holds the other end of a pipe. However that process ends, the pipe is closed, and
nothing of the command is left behind. Usage: `python process_guard.py COMMAND ...`. Imports nothing of mmdpo.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

import psutil

GRACE_SECONDS = 10.0  # between SIGTERM and SIGKILL
LOOK_SECONDS = 0.1
PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)
NOT_FOUND = 127  # the exit code of a shell for a command that does not exist


def main(words: list[str]) -> int:
    """Run the command; returns its exit code, as a shell does for one that a signal ended."""
    asked = False

    def stop(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    _adopt_orphans()
    signal.signal(signal.SIGTERM, stop)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: None)  # a handler and not SIG_IGN, which the command would inherit
    try:
        command = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{words[0]}: {error.strerror or error}", file=sys.stderr, flush=True)
        return NOT_FOUND
    while command.poll() is None and not asked:
        ready, _, _ = select.select([0], [], [], LOOK_SECONDS)
        asked = asked or bool(ready and not os.read(0, 1))
    _stop_children()
    code = command.wait()
    return code if code >= 0 else 128 - code


def _adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent ends, on Linux, so that they are found."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stop_children() -> None:
    """Send SIGTERM to all descendants, and SIGKILL to those that are left after a while."""
    seconds = GRACE_SECONDS
    for end in ("terminate", "kill", "kill"):
        children = psutil.Process().children(recursive=True)
        for child in children:
            with suppress(psutil.Error):
                getattr(child, end)()
        psutil.wait_procs(children, seconds)
        seconds = 2.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
