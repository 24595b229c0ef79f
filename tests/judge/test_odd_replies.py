"""Replies that tempt a parser to guess: each gives its ratings or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.answers import Answer, ParseFailure
from mmdpo.judge.parsing import ParsedRatings
from mmdpo.judge.rating_request import rating_parser, rating_request
from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from tests.judge.scripted import items, judge_config

NAMES = RUBRIC.attributes
FIRST, SECOND = (1, 2, 3, 4, 0), (3, 3, 3, 3, 3)


def read(reply: str, count: int = 1) -> list[tuple[int, ...]] | None:
    """The ratings of a reply in the order of the attributes; None if it is not read."""
    found = RUBRIC.parse(reply, count)
    if isinstance(found, ParseFailure):
        return None
    return [tuple(rating[name] for name in NAMES) for rating in found.ratings]


def row(label: Any, *numbers: Any) -> dict[str, Any]:
    return {"label": label, **dict(zip(NAMES, numbers, strict=False))}


def as_json(*rows: dict[str, Any], **more: Any) -> str:
    return json.dumps({**more, "ratings": list(rows)})


def as_text(first_line: str) -> str:
    return f"Completion A\n{first_line}\nCorrectness: 3\nCoherence: 3\nComplexity: 2\nVerbosity: 1"


A, B = row("A", *FIRST), row("B", *SECOND)


@pytest.mark.parametrize(
    "value",
    [
        *("4/10", "4 / 5", "4/3/4", "4 of 10", "4 out of 5", "4 points out of 10", "0-10: 4", "(1-5): 4"),
        *("4-3", "3-4", "4 - 3", "4 – 3", "4 to 3", "3 or 4", "4, or 3", "4 or three", "4 (or 3)", "4 (was 3)"),
        *("3,5", "4.5", "4½", "4 ½", "4 1/2", "4 and a half", "4 ± 1", "4e0", "4^0", "4*1", "4_3", "0x4", "4:3"),
        *("4+", "4%", "~4", "about 4", ">= 4", "< 4", "at least 4", "not 4", "4?", "4!", "4th", "4k", "-4", "–4"),
        *("4 3", "[3, 4]", "4 | 3", "4 -> 3", "4 → 3", "4... no, 3", "4; make that three", "4 minus 1", "4 stars"),
        *("four", "IV", "٤", "\uff14", "4\u20d71", "1. It answers. 2. It is short. Rating: 4", "1\nFinal: 4"),
        "\n1. It answers.\nRating: 4",
    ],
)
def test_a_number_that_something_may_change_is_not_read(value: str) -> None:
    assert read(as_text(f"Helpfulness: {value}")) is None


@pytest.mark.parametrize(
    "line",
    [
        *(f"Helpfulness: {value}" for value in ("4", "4.", "4,", "**4**", "`4`", "(4)", "[4]", '"4"', "4.0", "4 |")),
        *(f"Helpfulness: {value}" for value in ("4/4", "4 / 4", "4 out of 4", "4 of 4", "4.0/4.0")),
        *(f"Helpfulness: {value}" for value in ("4 - all of it", "4 (all of it)", "4. All of it.", "4, all of it")),
        *("Helpfulness 0-4: 4", "Helpfulness (0-4): 4", "Helpfulness [0–4] = 4", "Helpfulness (0 to 4): 4"),
        *("Helpfulness (scale 0-4): 4", "Helpfulness (out of 4): 4", "Helpfulness (/4): 4", "| Helpfulness | 4 |"),
        *(
            "1. Helpfulness: 4",
            "- **Helpfulness**: 4",
            "Helpfulness score: 4",
            "| **Helpfulness** | 4 | It does. |",
            "1) **Helpfulness:** 4/4",
            "Helpful - 4",
            "Helpfulness:\n4",
        ),
    ],
)
def test_what_cannot_change_a_number_may_stand_with_it(line: str) -> None:
    assert read(as_text(line)) == [(4, 3, 3, 2, 1)]


@pytest.mark.parametrize(
    "value",
    [
        *("3-4", "3 or 4", "4/10", "3,5", "3.5", "'3-4'", '"4/4"', "~3", "3 // or 4", "0x3", "3 4", "1_0", "three"),
        *("[3,4]", '{"a": 3}', "true", "null", "1e1", "NaN", "10", "-1", "1" * 30),
    ],
)
def test_a_value_in_json_is_one_whole_number(value: str) -> None:
    assert read(as_json(A).replace('"helpfulness": 1', f'"helpfulness": {value}')) is None


LATER = as_json(row("A", *SECOND))


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        (f"Draft: {as_json(A)}\nFinal: {LATER}", 1),
        (f"The format is\n```json\n{LATER}\n```\nMy ratings:\n```json\n{as_json(A)}\n```", 1),
        (f"<think>Perhaps {LATER}</think>{as_json(A)}", 1),
        (f"{as_json(A, B)}\nOn reflection: {as_json(row('A', *SECOND))}", 2),
        (f"{as_json(A)}\nFinal: {LATER[:60]}", 1),
        (f"{LATER.replace(chr(34), chr(39))}\n{as_json(A)}", 1),
        (f"```json\n{as_json(A)}\n```\nCompletion A\nHelpfulness: 2", 1),
        (f"Completion A\nHelpfulness: 4\n\n{as_json(A)}", 1),
        (f"{as_json(A)}\nHelpfulness should be 4 on reflection.", 1),
        (f"Completion A contains {LATER} which I ignore.\n\n{as_text('Helpfulness: 1')}", 1),
        (f'Completion A says "Completion B\nHelpfulness: 4" which I ignore.\n{as_json(A, B)}', 2),
        (as_json(A, draft={"ratings": [row("A", *SECOND)]}), 1),
        (as_json(A, row("Completion A", *SECOND)), 1),
        (f'{as_json(A)[:-1]}, "ratings": [{json.dumps(row("A", *SECOND))}]}}', 1),
        (f'```json\n{as_json(A)[:-1]}, "ratings": [{json.dumps(row("A", *SECOND))}]}}\n```', 1),
        (f'{as_json(A)[:-1]}, "ratings": [{json.dumps(row("A", *SECOND))}]', 1),
        (as_json(A).replace('"helpfulness": 1', '"helpfulness": 1, "helpfulness": 1'), 1),
        (as_json({**A, "Helpfulness": 4}), 1),
        (as_json({**A, "helpful": 4}), 1),
    ],
)
def test_several_readings_that_differ_are_none(reply: str, count: int) -> None:
    assert read(reply, count) is None


@pytest.mark.parametrize(
    "reply",
    [
        f"Draft: {as_json(A)}\nFinal: {as_json(A)}",
        f"```json\n{as_json(A)}\n```\nCompletion A\nHelpfulness: 1",
        as_json(A, draft={"ratings": [A]}),
        f"I rate helpfulness and the others from 0 to 4.\n```json\n{as_json(A)}\n```\nIt names 2 dogs.",
        f"\ufeff{as_json(A)}",
        f"{as_json(A)}\ud83d",
        as_json({name.capitalize() if name in NAMES else name: value for name, value in A.items()}),
    ],
)
def test_several_readings_that_agree_are_one(reply: str) -> None:
    assert read(reply) == [FIRST]


@pytest.mark.parametrize(
    ("label", "ratings"),
    [
        *((label, [FIRST]) for label in ("A", "a", " A ", "(A)", "Completion A", "response a", "**A**")),
        *((label, None) for label in ("", " ", "AB", "ABC", "B", "Completion", "Completion AB", "1", 1, None, ["A"])),
    ],
)
def test_a_label_is_one_letter(label: Any, ratings: Any) -> None:
    assert read(as_json(row(label, *FIRST))) == ratings


@pytest.mark.parametrize("wrapped", [[A], {"answer": {"ratings": [A]}}, as_json(A), [{"ratings": [A]}], 3, {}])
def test_json_of_another_form_is_not_read(wrapped: Any) -> None:
    assert read(json.dumps(wrapped)) is None


def test_headings_may_be_numbered_or_bold() -> None:
    rows = ["\n".join(f"{name}: {number}" for name, number in zip(NAMES, one, strict=True)) for one in (FIRST, SECOND)]
    for heading in ("{}. Completion {}", "**Completion {1}:**", "### Response {1}", "Rating for Response {0}:"):
        text = "\n\n".join(f"{heading.format(n, 'AB'[n - 1])}\n{rows[n - 1]}" for n in (1, 2))
        assert read(text, 2) == [FIRST, SECOND], heading


@pytest.mark.parametrize("said", ["On a scale of 1-10:", "on a 1 to 5 scale", "Scale: 10", "each out of 10"])
def test_ratings_on_another_scale_are_not_read(said: str) -> None:
    text = as_text("Helpfulness: 4")
    assert read(f"{said}\n{text}") is None
    assert read(f"{said}\n```json\n{as_json(A)}\n```") is None
    assert read(f"On a scale from 0 to 4, each out of 4:\n{text}") == [(4, 3, 3, 2, 1)]


@pytest.mark.parametrize(
    "reply",
    [
        as_text("Not helpful: 4"),
        as_text("Non-helpful: 4"),
        as_text("Unhelpful: 4"),
        as_text("Helpfulness and correctness: 4").replace("Correctness: 3\n", ""),
        as_text("Helpfulness: 4").replace("Completion A", "Completion 0"),
        as_text("Helpfulness: 4").replace("Completion A", "Completions A and B:"),
        as_text("Helpfulness: 4").replace("Completion A", "Completion A is worse than completion B."),
        as_text("Helpfulness: 4").replace("Completion A", "Completion B"),
        f"{as_text('Helpfulness: 4')}\nRevised helpfulness: 3",
    ],
)
def test_another_name_or_heading_is_not_read(reply: str) -> None:
    assert read(reply) is None


def test_an_object_for_each_completion_is_read() -> None:
    rows = [json.dumps({name: one[name] for name in NAMES}, indent=1) for one in (A, B)]
    assert read(f"Completion A\n{rows[0]}\nCompletion B:\n```json\n{rows[1]}\n```", 2) == [FIRST, SECOND]
    assert read(f"Completion A\n{rows[0]}\n{rows[1]}\nCompletion B:\n{rows[1]}", 2) is None


def test_a_cut_reply_counts_only_as_whole_json() -> None:
    """The last number of a cut reply may be the start of another."""
    (item,) = items(1, ["yes"])
    request = rating_request(item, Path(), judge_config())

    def parsed(text: str) -> Any:
        return rating_parser(RUBRIC, request, Answer(text, truncated=True))

    assert isinstance(parsed(as_json(A)), ParsedRatings)
    for text in (as_json(A)[:-1], f"```json\n{as_json(A)}\n```", as_text("Helpfulness: 4"), f"{as_json(A)} And"):
        assert read(text)
        assert parsed(text) == ParseFailure("truncated")


@pytest.mark.parametrize(
    "reply",
    [
        *("[" * 200_000, '{"a":' * 200_000, "{" * 60_000, '{"' * 50_000, '{"a":"' + "x" * 900_000, "x" * 2_000_000),
        *("\n" * 16_000 + "x", "```" + "\n" * 16_000, "_" * 60_000, "Completion" + " " * 60_000),
        *(("helpfulness" + "\n" * 200) * 200, "Completion A\nhelpfulness" + " " * 60_000, "# Completion A\n" * 30_000),
        *('{"a":1 "helpfulness": 3, ' * 20_000, "Completion A\nHelpfulness: 3" + "\n 1. " * 20_000),
    ],
)
def test_long_and_deep_replies_are_not_read(reply: str) -> None:
    """Patterns that try every place again took minutes for some of these, and deep ones ended in a RecursionError."""
    assert read(reply) is None
