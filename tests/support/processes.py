"""Processes that wait at a given place in their code, so that a test can kill them there."""

import signal
import subprocess
import sys
import time
from pathlib import Path

PRELUDE = "import time; from pathlib import Path\n"


def waiting_for(signal_file: Path, started: Path) -> str:
    """Return a line of code that creates `started` and then waits until `signal_file` appears."""
    return (
        f"Path({str(started)!r}).touch(); "
        f"[time.sleep(0.02) for _ in iter(lambda: Path({str(signal_file)!r}).exists(), True)]"
    )


def start(code: str) -> "subprocess.Popen[bytes]":
    """Start a Python process that runs the code."""
    return subprocess.Popen([sys.executable, "-c", PRELUDE + code])


def until(path: Path, seconds: float = 30) -> None:
    """Wait for a file."""
    limit = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < limit, f"{path} did not appear"
        time.sleep(0.02)


def killed_when(code: str, started: Path) -> None:
    """Run the code and send SIGKILL when the file appears."""
    process = start(code)
    until(started)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
