"""Parsing of a judge's replies in all their forms: correctly, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.clients.answers import ParseFailure
from mmdpo.judge.parsing import ParsedRatings
from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.records import Rating
from tests.support.ratings import rating

parse = RUBRIC.parse

FIRST, SECOND = rating(4, 4, 4, 3, 3), rating(3, 3, 3, 2, 3)


def reply(*ratings: Rating, **more: Any) -> dict[str, Any]:
    rows = [{"label": label, **one} for label, one in zip("ABCDEF", ratings, strict=False)]
    return {"reviews": [], "calibration": "", "ratings": rows, **more}


def both(parser: str) -> ParsedRatings:
    return ParsedRatings((FIRST, SECOND), parser)


def test_json_by_the_schema() -> None:
    assert parse(json.dumps(reply(FIRST, SECOND)), 2) == both("schema")


def test_the_order_of_the_entries_does_not_matter() -> None:
    turned = reply(FIRST, SECOND)
    turned["ratings"].reverse()
    assert parse(json.dumps(turned), 2) == both("schema")


@pytest.mark.parametrize("word", ["json", "JSON", ""])
def test_fenced(word: str) -> None:
    text = f"Here you are.\n```{word}\n{json.dumps(reply(FIRST, SECOND), indent=1)}\n```\nAnything else?"
    assert parse(text, 2) == both("fenced")


@pytest.mark.parametrize(
    "text",
    [
        f"Sure: {json.dumps(reply(FIRST, SECOND))}",
        json.dumps(reply(FIRST, SECOND)).replace('"', "'"),
        json.dumps(reply(FIRST, SECOND))[:-1],
        json.dumps(reply(FIRST, SECOND)).replace("}]", "},]"),
        json.dumps(reply(FIRST, SECOND)).replace('"label"', "label"),
    ],
)
def test_mended(text: str) -> None:
    assert parse(text, 2) == both("repaired")


def test_numbers_as_text_are_numbers() -> None:
    assert parse(json.dumps(reply(FIRST, SECOND)).replace(": 4", ': "4"').replace(": 3", ": 3.0"), 2) == both("schema")


@pytest.mark.parametrize(
    "text",
    [
        # As the paper's appendix prints them
        "Rating for Response 1: Helpfulness:4, Correctness 4, Coherence: 4, Complexity: 3, Verbosity: 3.\n"
        "Rating for Response 2: Helpfulness:3, Correctness 3, Coherence: 3, Complexity: 2, Verbose: 3",
        "## Completion A\nIt is right.\n**Helpfulness:** 4\n**Correctness**: 4\ncoherent 4\nCOMPLEXITY = 3\n"
        "verbose - 3\n## Completion B\n- helpful: 3\n- correct: 3/4\n- coherence: 3\n- complex: 2\n"
        "- verbosity: 3\n",
        "Answer B\nhelpfulness 3 correctness 3 coherence 3 complexity 2 verbosity 3\nAnswer A\n"
        "helpfulness 4 correctness 4 coherence 4 complexity 3 verbosity 3",
    ],
)
def test_the_loose_form(text: str) -> None:
    assert parse(text, 2) == both("text")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("I cannot rate these.", "no_ratings"),
        (json.dumps(reply(FIRST)), "wrong_count"),
        (json.dumps(reply(FIRST, SECOND, SECOND)), "wrong_count"),
        (json.dumps(reply(FIRST, rating(5, 3, 3, 2, 3))), "out_of_range"),
        (json.dumps(reply(FIRST, rating(-1, 3, 3, 2, 3))), "out_of_range"),
        (json.dumps(reply(FIRST, SECOND)).replace(": 2", ": 2.5"), "missing_rating"),
        (json.dumps(reply(FIRST, SECOND)).replace(": 2", ": null"), "missing_rating"),
        (json.dumps(reply(FIRST, SECOND)).replace(": 2", ": true"), "missing_rating"),
        (json.dumps(reply(FIRST, SECOND)).replace(": 2", ": Infinity"), "missing_rating"),
        (json.dumps(reply(FIRST, SECOND)).replace('"B"', '"A"'), "contradictory"),
        (json.dumps(reply(FIRST, SECOND)).replace('"label": "B", ', ""), "no_label"),
        (json.dumps(reply(FIRST, SECOND)).replace('"label": "B"', '"label": ""'), "wrong_count"),
        (json.dumps(reply(FIRST, SECOND)).replace('"label": "B"', '"label": "AB"'), "wrong_count"),
        (json.dumps(reply(FIRST, SECOND)).replace('"label": "B"', '"label": "C"'), "wrong_count"),
        (json.dumps(reply(FIRST, SECOND))[:-60], "missing_rating"),
        ("Completion A helpfulness 4 correctness 4 coherence 4 complexity 3 verbosity 3", "wrong_count"),
        (
            "Completion A\nhelpfulness 4 or helpfulness 3, correctness 4 coherence 4 complexity 3 verbosity 3"
            "\nCompletion B\nhelpfulness 3 correctness 3 coherence 3 complexity 2 verbosity 3",
            "contradictory",
        ),
        ("Helpfulness 4 correctness 4 coherence 4 complexity 3 verbosity 3", "no_ratings"),
    ],
)
def test_what_is_no_rating_has_a_reason(text: str, reason: str) -> None:
    assert parse(text, 2) == ParseFailure(reason)


RATINGS = st.lists(st.builds(rating, *[st.integers(0, 4)] * 5), min_size=1, max_size=6)


@given(RATINGS, st.sampled_from(["{}", "```json\n{}\n```", "So:\n{}\nDone.", "{},"]))
def test_what_was_written_is_read(ratings: list[Rating], frame: str) -> None:
    found = parse(frame.replace("{}", json.dumps(reply(*ratings))), len(ratings))
    assert isinstance(found, ParsedRatings)
    assert found.ratings == tuple(ratings)


@given(RATINGS, st.data())
def test_a_mangled_reply_gives_the_ratings_or_none(ratings: list[Rating], data: st.DataObject) -> None:
    """A reply that is cut or lacks characters gives no number that it does not contain."""
    text = json.dumps(reply(*ratings, calibration="all fine"))
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    else:
        for _ in range(data.draw(st.integers(1, 5))):
            place = data.draw(st.integers(0, len(text) - 1))
            if not text[place].isdigit():
                text = text[:place] + text[place + 1 :]
    found = parse(text, len(ratings))
    assert isinstance(found, ParseFailure) or found.ratings == tuple(ratings)


@given(st.text(), st.integers(1, 6))
def test_nothing_raises(text: str, count: int) -> None:
    assert isinstance(parse(text, count), ParsedRatings | ParseFailure)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["ratings", "label", *RUBRIC.attributes]), inner)
        ),
    ),
    st.integers(1, 4),
)
def test_no_json_raises(value: Any, count: int) -> None:
    found = parse(json.dumps(value), count)
    assert isinstance(found, ParseFailure) or len(found.ratings) == count
