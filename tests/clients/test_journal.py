"""The journal: rows are complete after any kill, and other files are refused."""

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

from mmdpo.clients.journal import Account, Attempt, Journal, journal
from mmdpo.clients.migrations import VERSION
from mmdpo.clients.request import Message, Request
from mmdpo.errors import UserError

REQUEST = Request("key", "p", "annotate", (Message("user", "text"),))
GEMINI = Account("gemini")
ANSWERED = Attempt("answered", "{}", tokens_in=7, tokens_out=3, cost=0.5, note="smaller", served="model-001")


def record(opened: Journal, attempt: Attempt) -> None:
    opened.record(REQUEST, GEMINI, "some-model", attempt, 1.5)


def test_what_is_recorded_is_found(tmp_path: Path) -> None:
    declined = Attempt("declined", reason="recitation", reminded=True, tokens_in=7)
    with journal(tmp_path / "new" / "j.sqlite") as opened:
        assert opened.attempts("key") == []
        record(opened, Attempt("failed", reason="busy"))
        assert opened.attempts("key") == []  # it is still open
        record(opened, ANSWERED)
        record(opened, declined)
    with journal(tmp_path / "new" / "j.sqlite") as opened:
        assert opened.attempts("key") == [ANSWERED, declined]
        assert opened.attempts("other") == []
        assert opened.mean_tokens_out(GEMINI, "annotate") == 3.0
        assert opened.mean_tokens_out(GEMINI, "teacher") is None


def test_money_and_calls_are_counted_per_client_and_endpoint() -> None:
    opened, mine, now = Journal(None), Account("openai", "http://mine"), datetime.now(UTC)
    record(opened, ANSWERED)
    opened.record(REQUEST, mine, None, ANSWERED, 0.0)
    opened.record(REQUEST, mine, None, ANSWERED, 0.0, batch="batches/1")
    assert (opened.spent(GEMINI), opened.spent(mine), opened.spent(Account("openai"))) == (0.5, 1.0, 0.0)
    assert opened.asked_since(mine, now - timedelta(hours=1)) == 1  # a batch does not count
    assert opened.asked_since(GEMINI, now + timedelta(hours=1)) == 0


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    Journal(path).close()
    rows = sqlite3.connect(path)
    rows.execute(f"PRAGMA user_version={VERSION + 1}")
    rows.commit()
    with pytest.raises(UserError, match=r"a newer mmdpo wrote this journal.*judge\.journal=FILE"):
        Journal(path)


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_text("this is a letter, not a data base " * 40)
    with pytest.raises(UserError, match=r"the journal cannot be written.*judge\.journal=FILE"):
        Journal(path)


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A read-only file system as SQLite reports it. Folder permissions would not stop root."""
    path = tmp_path / "j.sqlite"
    opened = Journal(path)
    opened._rows.execute("PRAGMA query_only=1")
    with pytest.raises(UserError, match=r"readonly database.*judge\.journal=FILE"):
        record(opened, ANSWERED)
    with pytest.raises(UserError, match="cannot be written"):
        Journal(Path("/proc/nowhere/j.sqlite"))


WRITER = """
import sys
from pathlib import Path
from tests.clients.test_journal import ANSWERED, GEMINI, REQUEST
from mmdpo.clients.journal import Journal
from dataclasses import replace
journal = Journal(Path(sys.argv[1]))
for number in range(1_000_000):
    journal.record(replace(REQUEST, key=str(number)), GEMINI, "some-model", ANSWERED, 0.0)
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
        assert told
        assert all(opened.attempts(str(number)) == [ANSWERED] for number in range(max(told) + 1))
        rows = opened._rows.execute("SELECT count(*) FROM attempts").fetchone()[0]
        assert rows - len(told) in (0, 1)  # at most the one that was not reported yet
        assert opened._rows.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
