"""Tables and messages on terminals that lack some characters."""

from __future__ import annotations

import io
import sys
from itertools import groupby
from pathlib import Path

import pytest

from mmdpo.__main__ import main
from tests.support.studies import make_study


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_the_table_is_printed_whatever_the_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    make_study(tmp_path / "s", [{"beta": 0.1}, {"beta": 0.2}], n=4)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    assert main(["status", str(tmp_path / "s")]) == 0
    sys.stdout.flush()
    lines = written.getvalue().decode(encoding).splitlines()
    tables = [[*table] for framed, table in groupby(lines, lambda line: line.startswith(("|", "+"))) if framed]
    assert len(tables) == 2  # scores and gains
    for table in tables:
        assert len(table) >= 6
        assert len(set(map(len, table))) == 1  # the columns stay
        assert any("0.1" in line for line in table)
