"""Every judge of a service against its rehearsal, through the services' own libraries: the outcome of each fault."""

from __future__ import annotations

import sqlite3
import traceback
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.answers import DayIsOver, Declined, Temporary
from mmdpo.clients.journal import Journal
from mmdpo.errors import Stopped, UserError
from mmdpo.judge import teacher
from mmdpo.judge.judges import client_of
from mmdpo.judge.rules import longer
from mmdpo.records import Annotation, Unscored
from tests.testing.services import KEY, SERVERS, VARIABLE, annotated, ask, items, judge_at

LEGACY = pytest.param("gemini_legacy", marks=pytest.mark.long)
NAMES = pytest.mark.parametrize("name", [LEGACY if name == "gemini_legacy" else name for name in SERVERS])


@NAMES
def test_each_completion_is_rated_by_its_text_whatever_was_shown(tmp_path: Path, name: str) -> None:
    with SERVERS[name]() as server:
        found = annotated(server, name, tmp_path, 12, limits={"concurrency": 4})
    for (prompt, completions), annotation in zip(items(tmp_path, 12), found, strict=True):
        assert annotation.prompt_id == prompt.id
        assert annotation.parser == "schema"
        assert annotation.ratings == tuple(longer.rate(prompt, one.text) for one in completions)
    assert server.complaints == []
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == 12
    assert server.schemas == (0 if name == "gemini_legacy" else 12)


@NAMES
def test_tokens_are_counted_with_the_image(tmp_path: Path, name: str) -> None:
    with SERVERS[name]() as server:
        answer = ask(server, name, tmp_path)
    assert answer.tokens_in > 85 + 300
    assert answer.tokens_out == -(-len(answer.text) // 4)


@NAMES
def test_the_model_is_stored_as_the_service_names_it(tmp_path: Path, name: str) -> None:
    journal = Journal(None)
    with SERVERS[name]() as server:
        annotated(server, name, tmp_path, 1, journal)
    assert journal._rows.execute("SELECT model, served FROM attempts").fetchall() == [("some-model", "some-model-001")]


@NAMES
@pytest.mark.parametrize(
    ("fault", "reason", "wait"),
    [
        ("throttled", "throttled", 0.2),
        ("busy", "server error 503", None),
        ("dropped", "unreachable", None),
        ("html", "garbled|unreachable", None),
        ("non_utf8", "garbled|unreachable", None),
    ],
)
def test_what_passes_by_itself(tmp_path: Path, name: str, fault: str, reason: str, wait: float | None) -> None:
    with SERVERS[name](f"{fault}:1") as server:
        with pytest.raises(Temporary, match=reason) as raised:
            ask(server, name, tmp_path)
        assert raised.value.wait == wait
        assert server.seen == {fault: 1}  # the library has made no tries of its own
        assert ask(server, name, tmp_path).text


@NAMES
def test_a_reply_that_breaks_off_in_the_middle(tmp_path: Path, name: str) -> None:
    with SERVERS[name]("dropped:2") as server:
        for _ in range(2):
            with pytest.raises(Temporary, match="unreachable"):
                ask(server, name, tmp_path)
        assert server.seen == {"dropped": 2}


@NAMES
def test_bytes_that_are_no_text_change_no_rating(tmp_path: Path, name: str) -> None:
    """The second time they are within a word; Google's newer library skips them."""
    with SERVERS[name]("non_utf8:2") as server:
        found = annotated(server, name, tmp_path, 3)
    for (prompt, completions), one in zip(items(tmp_path, 3), found, strict=True):
        assert one.ratings == tuple(longer.rate(prompt, completion.text) for completion in completions)
    assert server.seen == {"non_utf8": 2, "good": 2 if name == "gemini" else 3}


@NAMES
def test_patience_ends(tmp_path: Path, name: str) -> None:
    with SERVERS[name]("slow:1", slow_seconds=30) as server, pytest.raises(Temporary, match="unreachable"):
        ask(server, name, tmp_path, timeout=0.5)
    with SERVERS[name]() as server:
        pass
    with pytest.raises(Temporary, match="unreachable"):  # nobody listens there any more
        ask(server, name, tmp_path)


@NAMES
def test_the_quota_of_the_day(tmp_path: Path, name: str) -> None:
    journal = Journal(None)
    with SERVERS[name]("good:3,daily_quota:1") as server:
        for _ in range(3):
            ask(server, name, tmp_path)
        with pytest.raises(DayIsOver):
            ask(server, name, tmp_path)
        with pytest.raises(Stopped, match="0 of 5 prompts are answered and kept"):
            annotated(server, name, tmp_path, 5, journal)  # it stays over
        server.new_day()
        assert len(annotated(server, name, tmp_path, 5, journal)) == 5
    with SERVERS[name](requests_per_day=4) as server:
        with pytest.raises(Stopped, match="4 of 6 prompts are answered and kept"):
            annotated(server, name, tmp_path, 6, journal=(kept := Journal(None)))
        server.new_day()
        assert all(isinstance(one, Annotation) for one in annotated(server, name, tmp_path, 6, kept))
    assert set(server.answered.values()) == {1}


DECLINED = {
    "gemini": {
        "prompt_blocked": "prompt_blocked_safety",
        "candidate_blocked": "blocked_safety",
        "recitation": "recitation",
        "image_refused": "image_refused",
    },
    "openai": {
        "prompt_blocked": "prompt_blocked_content_filter",
        "content_filter": "blocked_content_filter",
        "refusal": "refused",
        "image_refused": "image_refused",
    },
}
DECLINED["gemini_legacy"] = DECLINED["gemini"]


@pytest.mark.parametrize(
    ("name", "fault", "reason"), [(name, *one) for name in SERVERS for one in DECLINED[name].items()]
)
def test_what_is_declined_is_not_asked_again(tmp_path: Path, name: str, fault: str, reason: str) -> None:
    journal = Journal(None)
    with SERVERS[name](f"{fault}:1") as server:
        with pytest.raises(Declined) as raised:
            ask(server, name, tmp_path)
        assert raised.value.reason == reason
    with SERVERS[name](f"{fault}:1") as server:
        for _ in range(2):
            first, second = annotated(server, name, tmp_path, 2, journal)
            assert first == Unscored("p0", reason)
            assert isinstance(second, Annotation)
        assert server.seen == {fault: 1, "good": 1}


@NAMES
@pytest.mark.parametrize(
    ("fault", "message"), [("bad_key", "refuses the key"), ("unknown_model", "judge.model=some-model")]
)
def test_what_the_user_must_mend(tmp_path: Path, name: str, fault: str, message: str) -> None:
    with SERVERS[name](f"{fault}:9") as server, pytest.raises(UserError, match=message) as raised:
        annotated(server, name, tmp_path, 9)
    assert KEY not in str(raised.value)
    assert not isinstance(raised.value, Stopped)


@NAMES
@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("fenced", "fenced"),
        ("prose", "text"),
        ("truncated", "schema, asked twice"),
        ("wrong_count", "schema, asked twice"),
        ("out_of_range", "schema, asked twice"),
        ("empty", "schema, asked twice"),
    ],
)
def test_the_forms_of_replies(tmp_path: Path, name: str, fault: str, step: str) -> None:
    with SERVERS[name](f"{fault}:1") as server:
        first, second = annotated(server, name, tmp_path, 2)
    assert (first.parser, second.parser) == (step, "schema")
    for (prompt, completions), one in zip(items(tmp_path, 2), (first, second), strict=True):
        assert one.ratings == tuple(longer.rate(prompt, completion.text) for completion in completions)


@NAMES
@pytest.mark.parametrize("fault", ["truncated", "wrong_count", "out_of_range", "empty"])
def test_what_stays_unreadable_says_why(tmp_path: Path, name: str, fault: str) -> None:
    with SERVERS[name](f"{fault}:2") as server:
        first, second = annotated(server, name, tmp_path, 2)
    assert first == Unscored("p0", fault)
    assert isinstance(second, Annotation)


@NAMES
def test_a_rough_day_ends_with_every_prompt_rated_once(tmp_path: Path, name: str, slept: list[float]) -> None:
    faults = "throttled:25%,busy:25%,dropped:25%,html:25%,empty:25%,fenced:25%,prose:25%"
    with SERVERS[name](faults, seed=1) as server:
        limits = {"concurrency": 4, "max_attempts": 20}
        found = annotated(server, name, tmp_path, 24, limits=limits)
    with SERVERS[name]() as calm:
        expected = annotated(calm, name, tmp_path, 24)
    assert [one.ratings for one in found] == [one.ratings for one in expected]
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == 24
    assert all(server.seen[fault] for fault in ("throttled", "busy", "dropped", "html", "empty"))
    assert 0.2 in slept  # the server names the time


@NAMES
def test_the_key_is_written_nowhere(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    faults = "throttled:1,busy:1,dropped:2,html:1,non_utf8:1,empty:1,image_refused:1,good:2,bad_key:1"
    journal = Journal(tmp_path / "j.sqlite")
    with SERVERS[name](faults) as server:
        with pytest.raises(UserError) as raised:
            annotated(server, name, tmp_path, 9, journal, limits={"max_attempts": 9})
        assert server.seen["bad_key"] == 1
    journal.close()
    assert sqlite3.connect(tmp_path / "j.sqlite").execute("SELECT count(*) FROM attempts").fetchone()[0] > 6
    for path in tmp_path.glob("j.sqlite*"):
        assert KEY.encode() not in path.read_bytes()
    output = capfd.readouterr()
    assert KEY not in output.out + output.err + "".join(traceback.format_exception(raised.value))


@NAMES
def test_a_missing_key_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    with SERVERS[name]() as server:
        judge = judge_at(server, name)
        judge.base_url = None
        with pytest.raises(UserError, match=VARIABLE):
            client_of(judge)
        assert ask(server, name, tmp_path).text  # another endpoint may go without


@NAMES
@pytest.mark.parametrize("key", ["two words", "schlüssel", "a\x07b"])
def test_what_can_be_no_key_is_said_without_repeating_it(
    tmp_path: Path, name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    with SERVERS[name]() as server, pytest.raises(UserError, match=VARIABLE) as raised:
        ask(server, name, tmp_path)
    assert key not in str(raised.value)


@NAMES
def test_a_line_end_behind_the_key_does_no_harm(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{KEY}\n")
    with SERVERS[name]("good:1,bad_key:1") as server:
        assert ask(server, name, tmp_path).text
        with pytest.raises(UserError) as raised:
            ask(server, name, tmp_path)
    assert KEY not in str(raised.value)
    assert "***" in str(raised.value)


def test_unstructured_replies_are_asked_for_without_a_schema(tmp_path: Path) -> None:
    for name in SERVERS:
        with SERVERS[name]() as server:
            found: list[Any] = annotated(server, name, tmp_path, 1, structured=False)
        assert isinstance(found[0], Annotation)
        assert server.schemas == 0


@NAMES
def test_a_teacher_answers_in_whole_sentences_once(tmp_path: Path, name: str) -> None:
    prompts, journal = [prompt for prompt, _ in items(tmp_path, 6)], Journal(None)
    with SERVERS[name]("busy:1,truncated:1,good:1,image_refused:1") as server:
        first, again = (
            list(teacher.answers(lambda: prompts, 6, tmp_path, judge_at(server, name), journal)) for _ in range(2)
        )
    assert first == again
    assert first.pop(1) == Unscored("p1", "image_refused")
    assert all(one.text.startswith("In the image ") and one.text.endswith(".") for one in first)
    assert server.complaints == []
    assert server.schemas == 0
    assert set(server.answered.values()) == {1}
