"""Annotation: presentation order, faults, limits, and nothing asked twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdpo.clients import runner as asking
from mmdpo.clients.answers import Answer, DayIsOver, Declined, Temporary
from mmdpo.clients.journal import Account, Journal
from mmdpo.clients.request import Request
from mmdpo.config.choices import judge_clients
from mmdpo.config.schema import JudgeConfig, options
from mmdpo.errors import Stopped, UserError
from mmdpo.judge.annotate import annotate
from mmdpo.judge.items import by_prompt, repeated
from mmdpo.judge.judges import client_of, rule_named
from mmdpo.judge.rating_request import rating_request
from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.judge.rules import longer
from mmdpo.records import Annotation, Completion, Prompt, Unscored
from tests.judge.scripted import Scripted, good, items, judge_config, rating_of
from tests.support.ratings import quality_of


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record sleeps instead of sleeping."""
    slept: list[float] = []
    monkeypatch.setattr(asking.RequestRunner.__init__, "__defaults__", (slept.append,))
    return slept


def run(client: Any, asked: list[Any], journal: Journal | None = None, **changes: Any) -> list[Any]:
    judge = changes.pop("judge", None) or judge_config(**changes)
    return list(annotate(lambda: asked, len(asked), Path(), judge, client, journal or Journal(None)))


def test_every_judge_of_the_config_is_there() -> None:
    assert set(options("judge")) >= set(judge_clients())
    with pytest.raises(UserError, match=r"bench\.judge=gemini9: unknown; allowed are longer, oracle"):
        rule_named("gemini9")


def test_ratings_stand_in_the_order_of_the_completions_whatever_was_shown() -> None:
    asked = items(40)
    found = run(Scripted(), asked)
    assert [annotation.prompt_id for annotation in found] == [prompt.id for prompt, _ in asked]
    for (_, completions), annotation in zip(asked, found, strict=True):
        assert annotation.ratings == tuple(rating_of(completion.text) for completion in completions)
        assert sorted(annotation.presentation_order) == [0, 1, 2, 3]
    assert {annotation.parser for annotation in found} == {"schema"}
    firsts = Counter(annotation.presentation_order[0] for annotation in found)
    assert len(firsts) == 4
    assert max(firsts.values()) < 20


def test_the_order_is_a_seeds_and_repeats() -> None:
    first, second = run(Scripted(), items(9)), run(Scripted(), items(9))
    assert first == second
    other = judge_config()
    other.seed = 1
    assert [one.presentation_order for one in run(Scripted(), items(9), judge=other)] != [
        one.presentation_order for one in first
    ]


def test_equal_completions_are_shown_once_and_rated_alike() -> None:
    asked = items(1, ["yes", "no", "yes", "yes"])
    client = Scripted()
    (found,) = run(client, asked)
    assert len(found.ratings) == 4
    assert found.ratings[0] == found.ratings[2] == found.ratings[3] != found.ratings[1]
    assert client.calls[0][1].count("# Completion") == 2


def test_rules_rate_through_the_same_parser() -> None:
    completions = [Completion("p", 0, "one two three"), Completion("p", 1, "one"), Completion("q", 0, "")]
    prompts = [Prompt("p", "?"), Prompt("q", "?")]
    judge = JudgeConfig("longer", "longer")
    first, second = run(client_of(judge), list(by_prompt(prompts, completions)), judge=judge)
    assert [quality_of(rating) for rating in first.ratings] == [3, 1]
    assert (second.prompt_id, quality_of(second.ratings[0]), second.judge) == ("q", 0, "longer")


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_control_prefers_the_longer_answer(one: int, other: int) -> None:
    found = [quality_of(longer.rate(Prompt("p", "?"), "word " * length)) for length in (one, other)]
    assert found == [one, other]
    assert all(0 <= part <= 4 for part in longer.rate(Prompt("p", "?"), "word " * one).values())


def test_what_the_journal_knows_is_not_asked_again(tmp_path: Path) -> None:
    client, journal = Scripted(), Journal(tmp_path / "j.sqlite")
    found = run(client, items(5), journal)
    journal.close()
    assert run(client, items(5), Journal(tmp_path / "j.sqlite")) == found
    assert len(client.calls) == 5
    run(client, items(7), Journal(tmp_path / "j.sqlite"))
    assert len(client.calls) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"model": "another"},
        {"client": "openai"},
        {"base_url": "http://127.0.0.1:1"},
        {"temperature": 1.0},
        {"max_output_tokens": 10},
        {"structured": False},
    ],
)
def test_another_judge_is_asked_again(change: dict[str, Any]) -> None:
    journal, client, judge = Journal(None), Scripted(), judge_config()
    run(client, items(1), journal)
    for name, value in change.items():
        setattr(judge, name, value)
    run(client, items(1), journal, judge=judge)
    assert len(client.calls) == 2


def test_labels_limits_and_prices_do_not_ask_again() -> None:
    journal, client = Journal(None), Scripted()
    run(client, items(1), journal)
    other = judge_config(concurrency=3, max_attempts=2, budget=1.0, requests_per_day=9)
    other.price.input = 5.0
    other.name = "mine"
    run(client, items(1), journal, judge=other)
    assert len(client.calls) == 1


def test_an_unreadable_reply_is_asked_once_more_and_then_left() -> None:
    client, journal = Scripted("I like B.", good, "what?", "no"), Journal(None)
    first, second = run(client, items(2), journal)
    assert isinstance(first, Annotation)
    assert first.parser == "schema, asked twice"
    assert second == Unscored("p1", "no_ratings")
    assert [prompt for prompt, _ in client.calls] == ["p0", "p0", "p1", "p1"]
    assert "could not be read (no_ratings)" in client.calls[1][1]


def test_a_run_that_ended_before_the_reminder_goes_on_with_it() -> None:
    journal = Journal(None)
    broken = Scripted("I like B.", UserError("the network cable"))
    with pytest.raises(UserError, match="cable"):
        run(broken, items(1), journal)
    client = Scripted()
    (found,) = run(client, items(1), journal)
    assert isinstance(found, Annotation)
    assert found.parser == "schema, asked twice"
    assert len(client.calls) == 1
    assert "could not be read (no_ratings)" in client.calls[0][1]
    run(client, items(1), journal)
    assert len(client.calls) == 1


def test_after_the_reminder_nothing_is_due() -> None:
    client, journal = Scripted("I like B.", "I said B."), Journal(None)
    for _ in range(2):
        assert run(client, items(1), journal) == [Unscored("p0", "no_ratings")]
    assert len(client.calls) == 2


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_same_question_of_several_prompts_is_asked_once(concurrency: int) -> None:
    asked = [(Prompt(f"p{n}", "What?"), [Completion(f"p{n}", 0, "a star")]) for n in range(6)]
    client = Scripted()
    found = run(client, asked, concurrency=concurrency)
    assert [one.prompt_id for one in found] == [prompt.id for prompt, _ in asked]
    assert len(client.calls) == 1


def test_calls_in_flight_count_for_the_budget() -> None:
    class Slow(Scripted):
        def ask(self, request: Request) -> Answer:
            time.sleep(0.005)
            return super().ask(request)

    journal = Journal(None)
    with pytest.raises(Stopped, match=r"budget=0\.0301 is spent"):
        run(Slow(), items(60), journal, budget=0.0301, concurrency=8)
    assert 0.0301 - 8 * 0.002 <= journal.spent(Account("gemini")) <= 0.0301


def test_a_cut_reply_says_so() -> None:
    (found,) = run(Scripted('{"ratings": [...', '{"ratings": [...'), items(1))
    assert found == Unscored("p0", "truncated")


def test_a_refusal_is_not_asked_again_unless_wanted() -> None:
    client, journal = Scripted(Declined("recitation")), Journal(None)
    assert run(client, items(1), journal) == [Unscored("p0", "recitation")]
    assert run(client, items(1), journal) == [Unscored("p0", "recitation")]
    assert len(client.calls) == 1
    again = judge_config()
    again.retry_unscored = True
    (found,) = run(client, items(1), journal, judge=again)
    assert isinstance(found, Annotation)
    assert len(client.calls) == 2
    run(client, items(1), journal, judge=again)
    assert len(client.calls) == 2


def test_a_busy_judge_is_tried_again_as_it_says(no_waiting: list[float]) -> None:
    client = Scripted(Temporary("throttled", wait=17.5), Temporary("server error 503"))
    (found,) = run(client, items(1), backoff_seconds=2.0, backoff_longest=5.0)
    assert isinstance(found, Annotation)
    assert len(client.calls) == 3
    assert no_waiting[0] == 17.5
    assert any(0 <= seconds <= 5 for seconds in no_waiting[1:])


def test_one_prompt_without_an_answer_does_not_stop_the_others() -> None:
    client, journal = Scripted(*[Temporary("server error 500")] * 3), Journal(None)
    with pytest.raises(Stopped, match=r"1 of 4 prompts got no answer \(1 server error 500.*Rerun the same command"):
        run(client, items(4), journal, max_attempts=3)
    assert len(client.calls) == 6
    found = run(client, items(4), journal, max_attempts=3)
    assert len(client.calls) == 7
    assert all(isinstance(one, Annotation) for one in found)


def test_a_judge_that_is_gone_is_not_asked_forever() -> None:
    client = Scripted(*[Temporary("unreachable")] * 1000)
    with pytest.raises(Stopped, match=r"does not answer \(unreachable\)"):
        run(client, items(100), max_attempts=2)
    assert len(client.calls) <= 2 * (asking.GIVING_UP + asking.AHEAD)


def test_the_days_end_is_a_clean_stop_that_keeps_what_is_done() -> None:
    client, journal = Scripted(good, good, DayIsOver("quota")), Journal(None)
    with pytest.raises(Stopped, match=r"used up: 2 of 5 prompts.*Rerun the same command after \d{4}-") as stop:
        run(client, items(5), journal)
    assert stop.value.exit_code == 75
    run(client, items(5), journal)
    assert len(client.calls) == 6  # 3 more, and the one that met the end


def test_our_own_count_of_the_day_outlives_a_run() -> None:
    client, journal = Scripted(), Journal(None)
    with pytest.raises(Stopped, match="used up: 3 of 5"):
        run(client, items(5), journal, requests_per_day=3)
    with pytest.raises(Stopped, match="used up: 3 of 5"):
        run(client, items(5), journal, requests_per_day=3)
    assert len(client.calls) == 3


def test_the_budget_is_not_passed() -> None:
    """A call costs (1000 x 1 + 100 x 10) / 1e6 = 0.002; the cost of the first is not known yet."""
    client, journal = Scripted(), Journal(None)
    with pytest.raises(Stopped, match=r"budget=0.007 is spent \(0.01\): 3 of 5"):
        run(client, items(5), journal, budget=0.007)
    assert journal.spent(Account("gemini")) == pytest.approx(0.006)
    assert len(client.calls) == 3


def test_a_wrong_key_ends_the_run_at_once() -> None:
    client = Scripted(UserError("refuses the key"))
    with pytest.raises(UserError, match="refuses the key"):
        run(client, items(50))
    assert len(client.calls) <= 1 + asking.AHEAD


def test_many_calls_at_once_give_the_same() -> None:
    assert run(Scripted(), items(50), concurrency=8) == run(Scripted(), items(50))


def test_what_was_paid_for_stands_in_the_journal(tmp_path: Path) -> None:
    client = Scripted("no", good, Temporary("throttled"), good, Declined("recitation", 7))
    journal = Journal(tmp_path / "j.sqlite")
    run(client, items(3), journal)
    journal.close()
    rows = sqlite3.connect(tmp_path / "j.sqlite").execute(
        "SELECT record_id, outcome, reason, reminded, tokens_in, cost, reply FROM attempts ORDER BY id"
    )
    assert [row[:6] for row in rows] == [
        ("p0", "answered", None, 0, 1000, 0.002),
        ("p0", "answered", None, 1, 1000, 0.002),
        ("p1", "failed", "throttled", 0, 0, 0.0),
        ("p1", "answered", None, 0, 1000, 0.002),
        ("p2", "declined", "recitation", 0, 7, 7e-06),
    ]


def test_a_changed_image_is_asked_again(tmp_path: Path) -> None:
    prompt = Prompt("p", "What?", images=("a.png",))
    item = (prompt, [Completion("p", 0, "a"), Completion("p", 1, "b")])
    (tmp_path / "a.png").write_bytes(b"one")
    key = rating_request(item, tmp_path, judge_config()).key
    assert rating_request(item, tmp_path, judge_config()).key == key
    (tmp_path / "a.png").write_bytes(b"two")
    assert rating_request(item, tmp_path, judge_config()).key != key


def test_the_repeated_share_is_seeded_nested_and_asked_in_another_order() -> None:
    asked = items(200)
    tenth = [prompt.id for prompt, _ in repeated(asked, 0.1, seed=3)]
    fifth = [prompt.id for prompt, _ in repeated(asked, 0.2, seed=3)]
    assert 8 < len(tenth) < 35
    assert set(tenth) < set(fifth)
    assert [prompt.id for prompt, _ in repeated(asked, 1.0, seed=3)] == [prompt.id for prompt, _ in asked]
    first, second = (rating_request(asked[0], Path(), judge_config(), round_) for round_ in (0, 1))
    assert first.key != second.key


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["good", "prose", "declined", "busy"]), max_size=30), st.integers(1, 4))
def test_whatever_happens_each_prompt_is_rated_or_has_a_reason(script: list[str], concurrency: int) -> None:
    steps = {"good": good, "prose": "hm", "declined": Declined("safety"), "busy": Temporary("busy", 0.0)}
    client, journal, asked = Scripted(*[steps[name] for name in script]), Journal(None), items(6)
    found = run(client, asked, journal, concurrency=concurrency, max_attempts=99)
    assert [one.prompt_id for one in found] == [prompt.id for prompt, _ in asked]
    for (_, completions), one in zip(asked, found, strict=True):
        if isinstance(one, Annotation):
            assert one.ratings == tuple(rating_of(completion.text) for completion in completions)
        else:
            assert one.reason in ("safety", "no_ratings")


def test_rating_is_of_the_text() -> None:
    assert rating_of("ab") != rating_of("abc")
    assert set(rating_of("")) == set(RUBRIC.attributes)


def test_an_interruption_does_not_wait_for_the_turns_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking.RequestRunner.__init__, "__defaults__", (None,))  # real sleeps
    client = Scripted(Temporary("busy", 600.0))  # which holds all the others too

    def interrupted() -> Any:
        yield from items(4)
        while not client.calls:
            time.sleep(0.01)
        raise KeyboardInterrupt

    journal = Journal(None)
    with pytest.raises(KeyboardInterrupt):
        list(annotate(interrupted, 4, Path(), judge_config(concurrency=4), client, journal))
    calls = len(client.calls)
    time.sleep(0.2)
    assert len(client.calls) == calls < 5


def test_the_count_of_kept_answers_has_those_that_were_under_way() -> None:
    """Three replies arrive after the quota has ended; the next run asks for the others only."""
    all_called = threading.Barrier(4)

    class Service(Scripted):
        def ask(self, request: Request) -> Answer:
            all_called.wait(timeout=60)
            if request.record_id == "p0":
                raise DayIsOver("quota")
            time.sleep(0.1)
            return super().ask(request)

    journal, client = Journal(None), Service()
    with pytest.raises(Stopped, match="used up: 3 of 9 prompts"):
        run(client, items(9), journal, concurrency=4)
    again = Scripted()
    run(again, items(9), journal)
    assert len(again.calls) == 6
