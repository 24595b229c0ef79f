"""Pairs from HelpSteer's rated answers: one per prompt, by score and margin, the same at every reading."""

import csv
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.sources import tables
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.helpsteer import convert
from mmdpo.sources.pair_reader import read_pairs
from tests.sources.files import WRITERS, as_lines


def row(prompt: str, response: str, score: int, verbosity: int = 2) -> dict[str, Any]:
    """A row whose helpfulness, correctness and coherence sum to `score`."""
    parts = [score // 3 + (index < score % 3) for index in range(3)]
    named = dict(zip(("helpfulness", "correctness", "coherence"), parts, strict=True))
    return {"prompt": prompt, "response": response, **named, "complexity": 1, "verbosity": verbosity}


ROWS = [
    row("a", "good", 10),
    row("a", "near", 9, verbosity=0),
    row("a", "bad", 8),
    row("a", "worse", 2),
    row("b", "one", 7),
    row("b", "two", 6),
    row("c", "low", 1),
    row("c", "high", 12),
]


@pytest.mark.parametrize("suffix", WRITERS)
def test_pairs_and_what_is_too_close(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", ROWS)
    result = read_pairs(path, None, OnBadRow.error, tmp_path / "embedded", "helpsteer")
    assert (result.read, result.dropped) == (8, {"too close": 1})
    assert [(pair.question, pair.chosen) for pair in result.pairs] == [("a", "good"), ("c", "high")]
    assert result.pairs[0].rejected in ("bad", "worse")
    assert result.pairs[1].rejected == "low"


def test_the_seed_chooses_among_the_worse() -> None:
    def rejected(seed: int) -> list[str]:
        rows = [row(f"p{i}", f"{i} {score}", score) for i in range(20) for score in (9, 5, 3, 1)]
        return [pair["rejected"] for _, pair in convert(enumerate(rows, 1), seed)]

    assert rejected(1) == rejected(1) != rejected(2)
    assert {text.split()[1] for text in rejected(1)} == {"5", "3", "1"}


def test_the_choice_does_not_hang_on_other_prompts() -> None:
    whole = [pair for _, pair in convert(enumerate(ROWS, 1), 3)]
    assert [pair for _, pair in convert(enumerate(ROWS[:4], 1), 3)] == whole[:1]


@pytest.mark.parametrize(("margin", "pairs"), [(1, 3), (2, 2), (8, 2), (9, 1), (12, 0)])
def test_margin(margin: int, pairs: int) -> None:
    found = [item for _, item in convert(enumerate(ROWS, 1), 0, margin) if isinstance(item, dict)]
    assert len(found) == pairs


def test_rows_apart_are_not_one_prompt() -> None:
    rows = [row("a", "x", 9), row("b", "y", 1), row("a", "z", 1)]
    items = list(convert(enumerate(rows, 1)))
    assert [number for number, _ in items] == [1, 2, 3]
    assert [item.reason for _, item in items if isinstance(item, BadRow)] == ["too close"] * 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"helpfulness": 5}, "field 'helpfulness': not a rating; it is 5"),
        ({"verbosity": None}, "field 'verbosity': not a rating"),
        ({"coherence": 2.5}, "field 'coherence': not a rating"),
        ({"coherence": True}, "field 'coherence': not a rating"),
        ({"response": ""}, "field 'response': empty"),
        ({"prompt": None}, "field 'prompt': missing"),
    ],
)
def test_wrong_rows_do_not_part_a_prompt(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = as_lines(tmp_path / "a.jsonl", [ROWS[0], ROWS[1] | change, ROWS[3]])
    with pytest.raises(UserError) as error:
        read_pairs(path, None, OnBadRow.error, tmp_path, "helpsteer")
    assert str(error.value).startswith("1 of 3 rows")
    assert f"a.jsonl row 2: {reason}" in str(error.value)
    (pair,) = read_pairs(path, None, OnBadRow.drop, tmp_path, "helpsteer").pairs
    assert (pair.chosen, pair.rejected) == ("good", "worse")


def test_whole_floats_are_ratings(tmp_path: Path) -> None:
    """HelpSteer2 and pandas write 3 as 3.0, and a CSV file has text."""
    floats = [{name: float(value) if type(value) is int else value for name, value in one.items()} for one in ROWS]
    whole = [row for _, row in convert(enumerate(ROWS, 1)) if isinstance(row, dict)]
    assert [row for _, row in convert(enumerate(floats, 1)) if isinstance(row, dict)] == whole
    with (tmp_path / "a.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ROWS[0])
        table.writeheader()
        table.writerows(floats)
    assert [row for _, row in convert(tables.rows(tmp_path / "a.csv", "x")) if isinstance(row, dict)] == whole


def test_nothing_but_close_answers_is_an_error(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", ROWS[4:6])
    with pytest.raises(UserError, match=r"none of 2 rows can be used \(too close: 1\)"):
        read_pairs(path, None, OnBadRow.drop, tmp_path, "helpsteer")
