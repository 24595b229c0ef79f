"""Limits of time and memory on code that comes with a user's files: chat templates and patterns of adapters."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

SECONDS = 10.0  # of computing; what is tested takes milliseconds
WAIT_FACTOR = 12  # times as long on the clock, for a machine that is busy
BYTES = 1 << 30  # of memory in addition to what the process has


class TooSlow(Exception):
    """A function reached its limit."""


def run_bounded(function: Callable[[], str | None]) -> str | None:
    """Run a function in a forked child that is killed at a limit of time or memory.

    The function must use no threads, locks or GPU. What it changes is lost. Where the system forks no process of this
    size, the function runs without limits.

    Args:
        function: Returns a text or None. Its exceptions become texts.

    Returns:
        The function's text, the description of its exception, or None.

    Raises:
        TooSlow: The limit was reached.
    """
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError:  # strict limits on memory
        os.close(reader)
        os.close(writer)
        return _described(function)
    if child == 0:
        _run_child(function, reader, writer)
    os.close(writer)
    try:
        text = _read_all(reader, time.monotonic() + SECONDS * WAIT_FACTOR)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if text is None or text[:1] not in (b"0", b"1"):
        raise TooSlow(f"it takes more than {SECONDS:g} seconds")
    return text[1:].decode(errors="replace") if text[:1] == b"1" else None


def _run_child(function: Callable[[], str | None], reader: int, writer: int) -> None:
    """Run the function, write its result, and end this process."""
    try:
        os.close(reader)
        _set_limits()
        found = _described(function)
        content = b"0" if found is None else b"1" + found[:2000].encode(errors="replace")
        os.write(writer, content)
    finally:
        os._exit(0)  # neither handlers nor buffers of the parent


def _described(function: Callable[[], str | None]) -> str | None:
    """Return the function's text, or the description of its exception."""
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _set_limits() -> None:
    import resource

    for number in (signal.SIGPROF, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    status = Path("/proc/self/status")
    if status.exists():  # Linux
        used = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmData"))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = int(used) * 1024 + BYTES
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _read_all(reader: int, deadline: float) -> bytes | None:
    """Read until the other end closes; None if the deadline comes first."""
    content = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            return None
        part = os.read(reader, 65536)
        if not part:
            return content
        content += part
    return None
