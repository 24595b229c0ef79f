"""Locks of the operating system between processes, which name their holder to those that wait.

The death of a process frees its locks. The name of the holder is in a file beside the lock, for messages alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mmdpo.activity import report_waiting
from mmdpo.console import print_line

SILENT_SECONDS = 2.0  # a wait that is shorter is not worth a message


@contextmanager
def hold_lock(path: Path, purpose: str) -> Iterator[None]:
    """Hold a lock; while another process holds it, say which one and wait.

    Args:
        path: The file of the lock.
        purpose: What the holder does, as in "makes the reference log-probs".
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=SILENT_SECONDS)
    except Timeout:
        reason = f"{holder(path)}, which {purpose}"
        print_line(f"waiting for {reason} ({path})")
        report_waiting(reason)
        try:
            lock.acquire()
        finally:
            report_waiting(None)
    try:
        with suppress(OSError):
            _note(path).write_text(this_process(), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            _note(path).unlink(missing_ok=True)
        lock.release()


def this_process() -> str:
    """Describe this process to people: its id and its machine, and its job on SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"process {os.getpid()} on {socket.gethostname()}{f' (job {job})' if job else ''}"


def holder(path: Path) -> str:
    """Describe the process that holds a lock, as far as it is known."""
    with suppress(OSError):
        if text := _note(path).read_text(encoding="utf-8", errors="replace")[:200].strip():
            return text
    return "another process"


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")
