"""Output to the terminal."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from mmdpo.console import make_console, print_line, printable

EVIL = "a\x1b[2J\x1b]0;title\x07b\x9b31m\r\u202ec\x00\ud83d\nnext"
SHOWN = r"a\x1b[2J\x1b]0;title\x07b\x9b31m\r\u202ec\x00\ud83d" + "\nnext"


def test_control_characters_become_escapes() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("Größe\t→ 3\r\n") == "Größe\t→ 3\n"


def test_lines_and_cells_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(EVIL)
    assert capsys.readouterr().out == f"{SHOWN}\n"
    out = io.StringIO()
    table = Table("name")
    table.add_row(EVIL)
    console = make_console(file=out, force_terminal=True, width=100)
    console.print(table)
    console.print(f"[bold]{EVIL}[/]")
    styles = re.compile(r"\x1b\[[0-9;]*m")  # of the console itself
    assert r"\x1b[2J\x1b]0;title\x07b\x9b31m" in styles.sub("", out.getvalue())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud83d]", styles.sub("", out.getvalue()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("bell\x07 back\x08 \x9b31m \x7f", "bell\\x07 back\\x08 \\x9b31m \\x7f"),
        ("over\rwritten", "over\\rwritten"),
        ("lines\n\tand tabs", "lines\n\tand tabs"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("half \ud83d of one", "half \\ud83d of one"),
        ("Grüße 你好 \U0001f600 \u200d", "Grüße 你好 \U0001f600 \u200d"),
    ],
)
def test_control_characters_never_reach_the_terminal(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(text) == shown
    print_line(text)
    assert capsys.readouterr().out.expandtabs() == f"{shown}\n".expandtabs()


def test_the_program_continues_after_the_reader_of_its_output_has_ended(tmp_path: Path) -> None:
    """For example with `| head -1`: jobs are submitted and points are trained to the end."""
    code = f"""
import sys
from pathlib import Path
from mmdpo.console import make_console, print_line
sys.stdin.read()
for _ in range(3): print_line("a line")
make_console().print("a table")
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
