"""The oracle, on answers that a reader can judge."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.nano.oracle import rate, ten_point_score
from mmdpo.nano.text import CATEGORIES, NEVER_BRIEF, instruct
from mmdpo.nano.visual import KINDS, ask, briefly, facts
from mmdpo.nano.words import ANIMALS, CELLS, COLOURS, NUMBERS
from mmdpo.nano.world import random_view
from mmdpo.records import Prompt
from tests.support.ratings import quality_of, rating


def colour(brief: bool = False) -> Prompt:
    prompt = Prompt("q", "What colour is the star?", facts=facts("set", ["red"], COLOURS, "The star is red.", "red"))
    return briefly(prompt) if brief else prompt


def merits(prompt: Prompt, text: str) -> tuple[int, int, int]:
    found = rate(prompt, text)
    return found["correctness"], found["helpfulness"], found["coherence"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The star is red.", (4, 4, 4)),
        ("red", (4, 2, 2)),
        ("the star is red", (4, 4, 2)),
        ("The star is blue.", (0, 1, 4)),
        ("blue", (0, 1, 2)),
        ("The star is red and blue.", (2, 3, 4)),
        ("There is a cat.", (0, 0, 4)),
        ("The star is red red.", (4, 4, 2)),
        ("The star is red. The star is red.", (4, 4, 2)),
        ("The star is <unk> red.", (4, 4, 2)),
        ("", (0, 0, 0)),
        (" \n?!", (0, 0, 0)),
    ],
)
def test_an_open_question(text: str, expected: tuple[int, int, int]) -> None:
    assert merits(colour(), text) == expected


@pytest.mark.parametrize(("text", "expected"), [("red", (4, 4, 4)), ("The star is red.", (4, 2, 4)), ("no", (0, 0, 4))])
def test_where_brevity_was_asked(text: str, expected: tuple[int, int, int]) -> None:
    assert merits(colour(brief=True), text) == expected


@pytest.mark.parametrize(
    ("text", "correctness"),
    [
        ("There is no star.", 4),
        ("none", 4),
        ("There is no star, it is red.", 1),
        ("The star is red.", 0),
        ("", 0),
    ],
)
def test_what_is_not_there(text: str, correctness: int) -> None:
    prompt = Prompt("q", "What colour is the star?", facts=facts("absent", [], COLOURS, "There is no star.", "none"))
    assert rate(prompt, text)["correctness"] == correctness


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No, because 3 is less than 5.", (4, 4, 4)),
        ("No, Anna has less than Ben.", (2, 3, 4)),
        ("No, because 3 is more than 5.", (2, 3, 4)),
        ("No, it is not so.", (4, 3, 4)),
        ("no", (4, 2, 2)),
        ("Yes, because 3 is less than 5.", (0, 1, 4)),
        ("The apples.", (0, 0, 2)),
    ],
)
def test_yes_or_no_with_a_reason(text: str, expected: tuple[int, int, int]) -> None:
    choices = ["yes", "no", "not", "none", "more", "less", *NUMBERS]
    known = facts("polarity", ["no"], choices, "No, because 3 is less than 5.", "no", reason=["3", "less", "5"])
    assert merits(Prompt("q", "Does Anna have more, and why?", facts=known), text) == expected


@pytest.mark.parametrize(
    ("match", "answer", "choices", "text", "correctness"),
    [
        ("ordered", ["3", "5", "9"], NUMBERS, "The order is 3, 5 and 9.", 4),
        ("ordered", ["3", "5", "9"], NUMBERS, "The order is 9, 5 and 3.", 2),
        ("ordered", ["3", "5", "9"], NUMBERS, "The order is 3 and 5.", 1),
        ("final", ["8"], NUMBERS, "3 and 5 is 8.", 4),
        ("final", ["8"], NUMBERS, "8 is 3 and 5.", 0),
        ("covers", ["cat", "dog"], ANIMALS, "A cat, a dog and a cow.", 4),
        ("covers", ["cat", "dog"], ANIMALS, "A cat.", 2),
        ("set", ["cat", "dog"], ANIMALS, "A cat, a dog and a cow.", 2),
        ("set", ["cat", "dog"], ANIMALS, "A dog and a cat.", 4),
        ("set", ["B2"], CELLS, "It is in B2.", 4),
        ("set", ["red star", "red cross"], ["red star", "red cross", "star"], "A red star, a red cross.", 4),
    ],
)
def test_how_answers_are_matched(
    match: str, answer: list[str], choices: list[str], text: str, correctness: int
) -> None:
    prompt = Prompt("q", "?", facts=facts(match, answer, choices, "A full answer.", "short"))
    assert rate(prompt, text)["correctness"] == correctness


@given(st.integers(0, 2**32))
def test_the_reference_answers_earn_all(seed: int) -> None:
    rng = Random(seed)
    for prompt in (ask(random_view(rng), rng), instruct(rng)):
        assert quality_of(rate(prompt, prompt.facts["full"])) == 12
        if prompt.category not in NEVER_BRIEF:
            assert quality_of(rate(briefly(prompt), prompt.facts["short"])) == 12
            assert quality_of(rate(prompt, prompt.facts["short"])) == 8


@given(st.integers(0, 2**32), st.text())
def test_any_text_can_be_rated(seed: int, text: str) -> None:
    rng = Random(seed)
    found = rate(instruct(rng), text)
    assert all(0 <= value <= 4 for value in found.values())


def test_every_kind_is_reached() -> None:
    rng = Random(0)
    assert {ask(random_view(rng), rng).facts["kind"] for _ in range(500)} == set(KINDS)
    assert {instruct(rng).category for _ in range(200)} == set(CATEGORIES)


def test_styles_grow_with_length() -> None:
    short, long = rate(colour(), "red"), rate(colour(), "The star that you can see in the image here is red.")
    assert short["verbosity"] < long["verbosity"]
    assert short["complexity"] < long["complexity"]


def test_score_is_on_mt_benchs_scale() -> None:
    assert ten_point_score(rating(0, 0, 0, 4, 4)) == 1
    assert ten_point_score(rating(4, 4, 4, 0, 0)) == 10


def test_a_prompt_without_facts_is_refused() -> None:
    with pytest.raises(ValueError, match="judge=gemini"):
        rate(Prompt("real", "Why?"), "Because.")
