"""Output to the terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_program_continues_after_the_reader_of_its_output_has_ended(tmp_path: Path) -> None:
    """For example with `| head -1`: jobs are submitted and points are trained to the end."""
    code = f"""
import sys
from pathlib import Path
from mmdpo.console import LastingConsole, print_line
sys.stdin.read()
for _ in range(3): print_line("a line")
LastingConsole().print("a table")
Path({str(tmp_path / "end")!r}).touch()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(b"", timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert (tmp_path / "end").exists()
