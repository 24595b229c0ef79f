"""Text of servers and files on the terminal: shown, and never obeyed."""

from __future__ import annotations

import io
import re

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
