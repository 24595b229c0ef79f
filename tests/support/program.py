"""Runs the project's programs as a user does."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program(*arguments: str, cwd: Path = ROOT, timeout: int = 280, **environment: str):
    """The finished process of `python ARGUMENTS`, output captured as text."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def launch(*overrides: str, **environment: str):
    """`python launch.py OVERRIDES`."""
    return program("launch.py", *overrides, **environment)
