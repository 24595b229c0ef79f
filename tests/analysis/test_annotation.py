"""The report of an annotation, checked by hand-made ratings and hand-counted numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from mmdpo.analysis.annotation import summarize_ratings, write_annotation_report
from mmdpo.files import read_json, write_json
from mmdpo.records import Annotation, Rating, Unscored, write_records
from tests.support.ratings import rating


def same(value: int) -> Rating:
    return rating(value, value, value, 0, 4 - value)


def folder_of(tmp_path: Path, annotations: list[Annotation], repeated: list[Annotation] | None = None) -> Path:
    write_records(tmp_path / "annotations.jsonl", annotations)
    write_records(tmp_path / "unscored.jsonl", [Unscored("x", "recitation"), Unscored("y", "empty")])
    if repeated is not None:
        write_records(tmp_path / "repeated.jsonl", repeated)
    write_json(tmp_path / "summary.json", {"cost_so_far": 1.5, "currency": "USD"})
    return tmp_path


def test_ratings_are_counted_by_attribute(tmp_path: Path) -> None:
    made = [
        Annotation("a", (same(0), same(4)), "gemini", (0, 1), "schema"),
        Annotation("b", (same(4), same(4)), "gemini", (1, 0), "text"),
    ]
    numbers = summarize_ratings(folder_of(tmp_path, made))
    assert numbers["ratings"]["helpfulness"] == [1, 0, 0, 0, 3]
    assert numbers["ratings"]["complexity"] == [4, 0, 0, 0, 0]
    assert numbers["ratings"]["verbosity"] == [3, 0, 0, 0, 1]
    assert numbers["read_by"] == {"schema": 1, "text": 1}
    assert (numbers["scored"], numbers["unscored"]) == (2, {"recitation": 1, "empty": 1})
    assert numbers["agreement"] is None
    assert numbers["position"] is None
    assert numbers["cost_so_far"] == 1.5


def test_agreement_is_of_the_completions_rated_twice(tmp_path: Path) -> None:
    first = [
        Annotation("a", (same(0), same(4)), "j", (0, 1)),
        Annotation("b", (same(2), same(3)), "j", (0, 1)),
    ]
    second = [
        Annotation("a", (same(1), same(4)), "j", (1, 0)),
        Annotation("b", (same(0), same(3)), "j", (0, 1)),
    ]
    agreement = summarize_ratings(folder_of(tmp_path, first, second))["agreement"]
    assert agreement["prompts"] == 2
    assert agreement["helpfulness"]["equal"] == 0.5
    assert agreement["helpfulness"]["within_1"] == 0.75
    assert agreement["complexity"] == {"equal": 1.0, "within_1": 1.0, "spearman": None}


@pytest.mark.parametrize("biased", [True, False])
def test_a_judge_that_likes_the_first_place_is_found_out(tmp_path: Path, biased: bool) -> None:
    made = []
    for number in range(40):
        shown = [(0, 1, 2), (1, 2, 0), (2, 0, 1)][number % 3]  # each completion is at each place
        ratings = [same(4 if (biased and place == 0) or (not biased and index == 0) else 1)
                   for index, place in enumerate(shown)]  # fmt: skip
        made.append(Annotation(f"p{number}", tuple(ratings), "j", shown))
    position = summarize_ratings(folder_of(tmp_path, made))["position"]
    if biased:
        assert position["quality"] == [12.0, 3.0, 3.0]
        assert position["p"] < 1e-6
    else:
        assert max(position["quality"]) - min(position["quality"]) < 0.7
        assert position["p"] > 0.5


def test_the_report_is_a_table_json_and_a_picture(tmp_path: Path) -> None:
    rotated = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    made = [
        Annotation(f"p{n}", tuple(same((n + i) % 5) for i in range(3)), "j", rotated[n % 3], "schema")
        for n in range(20)
    ]
    console = Console(width=80, record=True)
    numbers = write_annotation_report(folder_of(tmp_path, made, made[:5]), console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "helpfulness",
        "unscored: 2 (1 recitation, 1 empty)",
        "quality by position",
        "1.50 USD",
        "100 %",
    ):
        assert words in text
    assert read_json(tmp_path / "report.json") == numbers
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_nothing_scored_is_said(tmp_path: Path) -> None:
    console = Console(width=80, record=True)
    write_annotation_report(folder_of(tmp_path, []), console)
    assert "scored: none" in console.export_text()
