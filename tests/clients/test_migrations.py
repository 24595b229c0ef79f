"""Journals of earlier versions: their replies, jobs and costs are used, and no request is repeated."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.journal import Account, Attempt, BatchJob, JobEntry, Journal, journal
from mmdpo.clients.migrations import ATTEMPTS_1, MIGRATIONS, VERSION
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import Stopped
from mmdpo.judge import teacher
from mmdpo.judge.annotate import annotate
from mmdpo.records import Annotation, Completion, Prompt, Turn, Unscored
from tests.clients.batched import rows
from tests.judge.scripted import Scripted, items, judge_config, rating_of

OLD = Path(__file__).with_name("journal_2.sql")
"""Written by the last version with version 2: scored, unscored and declined prompts, a due reminder, two jobs."""
GEMINI = Account("gemini")
TAUGHT = [Prompt("a", "What is it?"), Prompt("b", "Why?", history=(Turn("What?", "A star."),)), Prompt("c", "Who?")]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as written:
        written.executescript(OLD.read_text())
    written.close()
    return path


def annotated(opened: Journal, client: Any, count: int = 5, judge: JudgeConfig | None = None) -> list[Any]:
    return list(annotate(lambda: items(count), count, Path(), judge or judge_config(), client, opened))


def test_every_reply_is_found_and_nothing_is_asked_again(old: Path) -> None:
    client = Scripted()
    for _ in range(2):  # migrated, then opened as it is
        with journal(old) as opened:
            found = annotated(opened, client)
            assert opened._rows.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert client.calls == []
    assert found[2] == Unscored("p2", "no_ratings")
    assert found[4] == Unscored("p4", "recitation")
    scored = [one for one in found if isinstance(one, Annotation)]
    assert [one.parser for one in scored] == ["schema", "schema, asked twice", "schema"]
    assert [one.presentation_order for one in scored] == [(2, 3, 0, 1), (3, 2, 1, 0), (0, 2, 3, 1)]
    for one in scored:
        _, completions = items(5)[int(one.prompt_id[1:])]
        assert one.ratings == tuple(rating_of(completion.text) for completion in completions)


def test_a_reminder_that_was_due_is_still_due(old: Path) -> None:
    client = Scripted()
    with journal(old) as opened:
        found = annotated(opened, client, 6)
    assert found[5].parser == "schema, asked twice"
    ((record, text),) = client.calls
    assert record == "p5"
    assert "could not be read (no_ratings)" in text


def test_a_teachers_answers_are_found(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Scripted()
    monkeypatch.setattr(teacher, "client_of", lambda judge: client)
    with journal(old) as opened:
        found = list(teacher.answers(lambda: TAUGHT, 3, Path(), judge_config(), opened))
    expected = [Completion("a", 0, "It is blue."), Unscored("b", "truncated"), Completion("c", 0, "Nobody.")]
    assert found == expected
    assert client.calls == []


def test_jobs_are_keyed_by_their_purpose(old: Path) -> None:
    with journal(old) as opened:
        annotating, teaching = opened.jobs(GEMINI, "running")
    assert (annotating.purpose, teaching.purpose) == ("annotate", "teacher")
    assert (annotating.name, teaching.name) == ("batches/one", "batches/two")
    assert [(one.record_id, one.reminded, one.note) for one in annotating.asked] == [
        *(("p5", True, "image sent smaller"), ("p6", False, "image sent smaller"), ("p7", False, "image sent smaller")),
    ]
    assert isinstance(teaching, BatchJob)
    assert isinstance(teaching.asked[0], JobEntry)
    assert teaching.expected == 0.0005005
    assert teaching.model is None


def test_the_jobs_of_an_old_journal_are_not_submitted_again(old: Path) -> None:
    class Service(Scripted):
        largest_batch = 1000

        def pack_request(self, request: Any) -> Any:
            raise AssertionError(request)

        def create_batch(self, display_name: str, requests: Any) -> str:
            raise AssertionError

        def find_batches(self, display_names: Any) -> Any:
            raise AssertionError

        def get_batch(self, name: str) -> Any:
            from mmdpo.clients.batches import BatchStatus

            assert name == "batches/one"  # the teacher's job is ignored
            return BatchStatus("running")

    judge = judge_config()
    judge.batch = True
    with (
        journal(old) as opened,
        pytest.raises(Stopped, match=r"3 requests submitted in 1 job \(0 of them now\); 5 of 8"),
    ):
        annotated(opened, Service(), 8, judge)


def test_money_of_an_old_journal_counts_for_every_endpoint(old: Path) -> None:
    """The old journal has no endpoints; the budget must hold nevertheless."""
    with journal(old) as opened:
        spent = sum(cost for (cost,) in rows(opened, "cost"))
        assert spent > 0.02
        for account in (GEMINI, Account("gemini", "http://proxy")):
            assert opened.spent(account) == pytest.approx(spent)
        assert opened.spent(Account("openai")) == 0.0


def test_a_dry_run_reads_an_old_journal_and_leaves_it(old: Path) -> None:
    before = old.read_bytes()
    with journal(old, read_only=True) as opened:
        assert len(rows(opened, "id")) == 14
        assert len(opened.jobs(GEMINI, "running")) == 2
    assert old.read_bytes() == before


def test_a_migration_that_is_interrupted_leaves_the_old_version(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdpo.clients import migrations

    def interrupted(connection: sqlite3.Connection) -> None:
        migrations._statements(migrations.RAW_REPLIES_3)(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS[:2], interrupted))
        with pytest.raises(KeyboardInterrupt):
            Journal(old)
    client = Scripted()
    with journal(old) as opened:
        assert len(annotated(opened, client)) == 5
    assert client.calls == []


@pytest.mark.parametrize("read_only", [False, True])
def test_replies_of_a_journal_that_does_not_name_the_served_model(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as before:
        for step in MIGRATIONS[:3]:
            step(before)
        before.execute("PRAGMA user_version=3")
        before.execute(
            "INSERT INTO attempts (key, record_id, purpose, client, model, asked, seconds, outcome, reminded,"
            " truncated, tokens_in, tokens_out, cost, reply) VALUES ('k', 'p', 'annotate', 'gemini', 'm', '2026-11-01',"
            " 1.0, 'answered', 0, 0, 7, 8, 0.5, 'a reply')"
        )
    before.close()
    with journal(path, read_only) as opened:
        assert opened.attempts("k") == [Attempt("answered", "a reply", tokens_in=7, tokens_out=8, cost=0.5)]


def test_a_journal_of_the_first_version_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    old = sqlite3.connect(path)
    old.executescript(f"{ATTEMPTS_1} PRAGMA user_version=1;")
    kept = "key, judge, asked, seconds, tokens_in, tokens_out, cost, note, reply"
    values = ("gemini", "2026-01-01T00:00:00+00:00", 1.0, 7, 8, 0.5, None, "a reply")
    for number in range(3):
        old.execute(
            f"INSERT INTO attempts ({kept}, prompt_id, rubric, outcome, ratings, shown) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'p', 'r', 'scored', '[[1,2,3,4,0]]', '[0]')",
            (f"k{number}", *values),
        )
    old.commit()
    before = old.execute(f"SELECT {kept} FROM attempts ORDER BY id").fetchall()
    old.close()
    for _ in range(2):
        with journal(path) as opened:
            assert rows(opened, kept.replace("judge", "client")) == before
            assert len(before) == 3
            (attempt,) = opened.attempts("k1")
            assert (attempt.outcome, attempt.reply, attempt.reminded) == ("answered", "a reply", False)
            assert opened.spent(GEMINI) == 1.5
            assert opened.jobs(GEMINI, "running") == []
