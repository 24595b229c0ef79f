"""A judge's own answers: the oracle's, and those of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.answers import Declined
from mmdpo.clients.journal import Journal
from mmdpo.config.choices import teachers
from mmdpo.config.schema import JudgeConfig
from mmdpo.judge import teacher
from mmdpo.nano import oracle
from mmdpo.records import Completion, Prompt, Turn, Unscored
from mmdpo.sources import nano
from tests.judge.scripted import Scripted, judge_config
from tests.support.ratings import quality_of

PROMPTS = [
    Prompt("a", "What is it?", facts={"full": "It is red."}),
    Prompt("b", "Why?", history=(Turn("What?", "A star."),), facts={"full": "It is so."}),
]


def asked(client: Any, journal: Journal, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> list[Any]:
    monkeypatch.setattr(teacher, "client_of", lambda judge: client)
    judge = judge_config(**limits)
    return list(teacher.answers(lambda: PROMPTS, len(PROMPTS), Path(), judge, journal))


def test_services_and_the_oracle_can_teach_and_the_control_cannot() -> None:
    assert set(teachers()) == {"gemini", "gemini_legacy", "openai", "oracle"}


def test_the_oracle_gives_the_whole_sentence() -> None:
    found = list(teacher.answers(lambda: PROMPTS, 2, Path(), JudgeConfig("oracle", "oracle"), Journal(None)))
    assert found == [Completion("a", 0, "It is red."), Completion("b", 0, "It is so.")]


def test_the_oracle_finds_nothing_wrong_with_its_own_answers(tmp_path: Path) -> None:
    prompts = nano.prompts("preference", 400, 0, tmp_path)
    answers = teacher.answers(lambda: prompts, 400, tmp_path, JudgeConfig("oracle", "oracle"), Journal(None))
    found = [quality_of(oracle.rate(prompt, answer.text)) for prompt, answer in zip(prompts, answers, strict=True)]
    assert set(found) == {12}


def test_a_service_answers_in_its_own_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client, journal = Scripted("It is blue.", "Because."), Journal(None)
    expected = [Completion("a", 0, "It is blue."), Completion("b", 0, "Because.")]
    assert asked(client, journal, monkeypatch) == expected
    assert asked(client, journal, monkeypatch) == expected
    assert [text for _, text in client.calls] == [
        "What is it?",
        "User: What?\nAssistant: A star.\nUser: Why?",
    ]


@pytest.mark.parametrize(
    ("step", "reason"), [(Declined("safety"), "safety"), ("", "empty"), ("It is ...", "truncated")]
)
def test_what_is_no_answer_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch, step: Any, reason: str) -> None:
    again = [] if isinstance(step, Exception) else [step]
    client = Scripted(step, *again, "Because.")
    found = asked(client, Journal(None), monkeypatch)
    assert {text for prompt, text in client.calls if prompt == "a"} == {"What is it?"}  # without JSON
    assert found == [Unscored("a", reason), Completion("b", 0, "Because.")]
