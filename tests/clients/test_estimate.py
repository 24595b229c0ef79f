"""Estimates of a dry run: calls, tokens, money, time."""

from __future__ import annotations

from pathlib import Path

from mmdpo.clients.estimate import Estimate, assumed, estimate
from mmdpo.clients.journal import Journal
from mmdpo.config.schema import JudgeConfig, LimitsConfig, PriceConfig
from mmdpo.judge.annotate import annotate, with_repeated
from mmdpo.judge.rating_request import rating_request
from mmdpo.records import Prompt
from tests.judge.scripted import Scripted, items, judge_config


def test_calls_tokens_money_minutes_and_days() -> None:
    judge = JudgeConfig(
        "gemini",
        "gemini",
        limits=LimitsConfig(requests_per_minute=10, tokens_per_minute=1000, requests_per_day=25),
        price=PriceConfig(1.0, 10.0, of="2026-01"),
    )
    lines = list(Estimate(60, 40, 120_000, 30_000).lines(judge))
    assert lines[0] == "calls: 60 (40 are answered already), about 120,000 tokens in and 30,000 out"
    assert lines[1] == "money: about 0.42 USD (prices of 2026-01)"  # .12 in, .30 out
    assert lines[2].startswith("time: at least 150 minutes")  # by tokens; by calls it would be 6
    assert lines[3].startswith("days: 3")
    assert len(list(Estimate(1, 0, 1, 1).lines(JudgeConfig("openai", "openai")))) == 1  # no limits, no prices


def test_what_the_journal_answers_is_not_counted_and_lengths_come_from_it() -> None:
    judge, journal, asked = judge_config(), Journal(None), items(10)
    list(annotate(lambda: asked[:4], 4, Path(), judge, Scripted(), journal))
    found = estimate((rating_request(item, Path(), judge) for item in asked), journal, judge)
    assert (found.calls, found.answered, found.tokens_out) == (6, 4, 6 * 100)  # the script's replies have 100
    text = rating_request(asked[5], Path(), judge).text
    assert abs(found.tokens_in / 6 - len(text) / 4) < 2


def test_repeated_ratings_are_calls_too() -> None:
    judge = judge_config()
    judge.repeat = 0.5
    requests = list(with_repeated(items(40), Path(), judge))
    assert 50 < len(requests) < 70
    assert len({request.key for request in requests}) == len(requests)


def test_completions_are_assumed_where_there_are_none() -> None:
    made = list(assumed([Prompt("a", "?"), Prompt("b", "?")], 4, 512))
    assert [(one.prompt_id, one.index) for one in made] == [(name, i) for name in "ab" for i in range(4)]
    assert len({one.text for one in made}) == 4  # equal ones would be shown once
