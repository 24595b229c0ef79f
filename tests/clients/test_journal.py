"""The journal: whole rows, whatever is killed; no other file is mistaken for one."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mmdpo.clients.journal import VERSION, Attempt, Journal, journal
from mmdpo.errors import UserError
from mmdpo.judge.request import Request
from mmdpo.records import Prompt, Rating

REQUEST = Request("key", Prompt("p", "?"), ("a", "b"), (1, 0), "text", None)
SCORED = Attempt("scored", (Rating(1, 2, 3, 4, 0), Rating(0, 0, 0, 0, 0)), "schema", reply="{}", cost=0.5)


def record(opened: Journal, attempt: Attempt) -> None:
    opened.record(REQUEST, "gemini", "helpsteer_1", attempt, 1.5)


def test_what_is_recorded_is_found(tmp_path: Path) -> None:
    with journal(tmp_path / "new" / "j.sqlite") as opened:
        assert opened.find("key") is None
        record(opened, Attempt("failed", reason="busy"))
        assert opened.find("key") is None  # it is still open
        record(opened, Attempt("unscored", reason="prose", reply="hm"))
        assert opened.find("key") == Attempt("unscored", reason="prose", reply="hm")
        record(opened, SCORED)
        record(opened, Attempt("unscored", reason="later", reply="hm"))
    with journal(tmp_path / "new" / "j.sqlite") as opened:  # a rating is kept, whatever came after it
        assert opened.find("key") == Attempt("scored", SCORED.ratings, "schema", reply="{}")
        assert opened.find("other") is None
        assert opened.spent("gemini") == 0.5 and opened.spent("openai") == 0.0
        now = datetime.now(UTC)
        assert opened.asked_since("gemini", now - timedelta(hours=1)) == 4
        assert opened.asked_since("gemini", now + timedelta(hours=1)) == 0


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    Journal(path).close()
    rows = sqlite3.connect(path)
    rows.execute(f"PRAGMA user_version={VERSION + 1}")
    rows.commit()
    with pytest.raises(UserError, match="a newer mmdpo wrote this journal.*judge.journal=FILE"):
        Journal(path)


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_text("this is a letter, not a data base " * 40)
    with pytest.raises(UserError, match="the journal cannot be written.*judge.journal=FILE"):
        Journal(path)


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A read-only file system, as SQLite tells of it; root may write to any folder, so rights do not help."""
    path = tmp_path / "j.sqlite"
    opened = Journal(path)
    opened._rows.execute("PRAGMA query_only=1")
    with pytest.raises(UserError, match="readonly database.*judge.journal=FILE"):
        record(opened, SCORED)
    with pytest.raises(UserError, match="cannot be written"):
        Journal(Path("/proc/nowhere/j.sqlite"))


WRITER = """
import sys
from pathlib import Path
from tests.clients.test_journal import REQUEST, SCORED
from mmdpo.clients.journal import Journal
from dataclasses import replace
journal = Journal(Path(sys.argv[1]))
for number in range(1_000_000):
    journal.record(replace(REQUEST, key=str(number)), "gemini", "helpsteer_1", SCORED, 0.0)
    print(number, flush=True)
"""


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3])
def test_a_kill_loses_no_row_that_was_recorded(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "j.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(seconds)
    os.kill(writer.pid, signal.SIGKILL)
    told = [int(line) for line in [first, *writer.stdout.read().splitlines()] if line.strip().isdigit()]
    with journal(path) as opened:
        assert told and all(opened.find(str(number)) is not None for number in range(max(told) + 1))
        rows = opened._rows.execute("SELECT count(*) FROM attempts").fetchone()[0]
        assert rows - len(told) in (0, 1)  # at most the one that was not told of yet
        assert opened._rows.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
