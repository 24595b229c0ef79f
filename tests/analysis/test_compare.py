"""Paired comparison of results over the same items."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mmdpo.analysis.compare import Comparison, ResultComparison, compare, serving_parts
from mmdpo.analysis.compare_table import comparison_notes, comparison_table, letter, p_text, print_comparison
from mmdpo.analysis.gains import GainVerdict
from mmdpo.analysis.selection import select
from mmdpo.errors import UserError
from mmdpo.evaluation.task import load_task
from mmdpo.files import read_json
from tests.support.studies import interval, make_point, make_study, merged, write, write_answers


def point(folder: Path, name: str, scores: dict[str, float | None], *, judge: str = "oracle") -> Path:
    items = [
        {"id": key, "question": f"{key}?", "answer": "", "score": s, "parts": {"coherence": s}, "words": 3}
        for key, s in scores.items()
    ]
    return point_of(folder / name, {"text": items}, judge)


def point_of(folder: Path, tasks: dict[str, list[dict[str, Any]]], judge: str | None = "oracle") -> Path:
    folder.mkdir()
    write(folder / "result.json", {"judge": judge, "scores": {task: interval(1, 1, 1) for task in tasks}})
    for task, items in tasks.items():
        write_answers(folder, task, items)
    return folder


def compare_points(*folders: Path, parts: bool | None = None) -> Comparison:
    return compare(select([str(folder) for folder in folders]), parts)


def result_of(*folders: Path) -> ResultComparison:
    (result,) = compare_points(*folders).results
    return result


def printed(comparison: Comparison, width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        print_comparison(comparison, console)
    return capture.get()


def test_by_hand(tmp_path: Path):
    a = point(tmp_path, "a", {"x": 1.0, "y": 5.0, "z": 4.0, "w": 2.0})
    b = point(tmp_path, "b", {"w": 8.0, "x": 3.0, "y": 5.0, "z": 3.0})  # another order
    score, coherence, words = result_of(a, b).differences
    assert (score.part, coherence.part, words.part) == ("", "coherence", "words")
    assert score.estimate.value == (2 + 0 - 1 + 6) / 4
    error = math.sqrt(sum((d - 1.75) ** 2 for d in (2, 0, -1, 6)) / 3 / 4)
    assert score.estimate.high == pytest.approx(1.75 + 3.182446 * error)  # the t distribution with 3 degrees of freedom
    assert (score.estimate.n, score.wins, score.ties, score.losses) == (4, 2, 1, 1)
    assert (score.verdict, coherence.verdict) == (GainVerdict.unclear, None)
    assert (words.estimate.value, words.estimate.low, words.estimate.high, words.ties) == (0, 0, 0, 4)


def test_one_item_has_no_interval_and_no_verdict(tmp_path: Path):
    comparison = compare_points(point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 2.0}))
    (first, *_) = comparison.results[0].differences
    assert math.isnan(first.estimate.low)
    assert first.verdict is None
    assert comparison_table(comparison).row_count == 3


def test_unscored_items_are_left_out_and_counted(tmp_path: Path):
    a = point(tmp_path, "a", {"x": 1.0, "y": None, "z": 2.0})
    b = point(tmp_path, "b", {"x": 2.0, "y": 5.0, "z": 2.0})
    result = result_of(a, b)
    assert result.differences[0].estimate.n == 2
    assert any(note.startswith("1 items without a score") for note in result.notes)


def test_fewer_is_a_win_where_less_is_better(tmp_path: Path):
    points = []
    for name, unparsed in (("a", 1.0), ("b", 0.0)):
        items = [{"id": "x", "question": "?", "score": 1.0, "parts": {"unparsed": unparsed}, "words": 1}]
        points.append(point_of(tmp_path / name, {"presence": items}))
    part = next(one for one in result_of(*points).differences if one.part == "unparsed")
    assert (part.estimate.value, part.wins, part.losses) == (-1.0, 1, 0)


def test_seeds_are_pooled_and_wins_are_those_of_their_means(tmp_path: Path):
    study = make_study(tmp_path / "s", [{"beta": b, "seed": s} for b in (0.1, 0.2) for s in (0, 1)], n=8)
    comparison = compare(select([f"{study}/beta0.1", f"{study}/beta0.2", f"{study}/base"]))
    assert [len(result.group.rows) for result in comparison.results] == [2, 1]
    pooled = comparison.results[0].differences[0]
    assert (pooled.estimate.seeds, pooled.estimate.n) == (2, 8)
    means = [_mean_scores(study, f"dpo-beta{beta}") for beta in (0.1, 0.2)]
    gains = [after - before for before, after in zip(*means, strict=True)]
    assert pooled.wins == sum(gain > 0 for gain in gains)
    assert pooled.estimate.value == pytest.approx(sum(gains) / 8)
    assert comparison.comparisons == 6  # two results by three scores with items
    assert {one.part for result in comparison.results for one in result.differences} == {""}
    assert any(one.part for one in compare(select([f"{study}/base", f"{study}/beta"]), True).results[0].differences)
    text = printed(comparison, 110)
    assert "B: beta 0.2, seeds 0, 1" in text
    assert "and over seeds" in text


def _mean_scores(study: Path, prefix: str) -> list[float]:
    points = [
        [json.loads(line)["score"] for line in (folder / "judgments" / "text.jsonl").read_text().splitlines()]
        for folder in sorted(study.glob(f"{prefix}-*"))
    ]
    return [sum(scores) / len(scores) for scores in zip(*points, strict=True)]


@pytest.mark.parametrize("width", [80, 110])
def test_the_table_fits(tmp_path: Path, width: int):
    a = make_point(tmp_path, {"beta": 0.1}, gain=0.0, n=240)
    b = make_point(tmp_path, {"beta": 0.3}, gain=0.5, n=240)
    console = Console(width=width)
    with console.capture() as capture:
        console.print(comparison_table(compare_points(a, b), narrow=width == 80))
    lines = capture.get().splitlines()
    assert all(len(line) <= width for line in lines)
    found = [line.split()[0] for line in lines if line.startswith((" text", " visual"))]
    assert found == ["text", "visual", "text_noisy"]
    assert "better" in capture.get()


def test_what_else_differs_is_said(tmp_path: Path):
    a, b = (make_point(tmp_path / name, {"beta": beta}, n=4) for name, beta in (("a", 0.1), ("b", 0.2)))
    content = read_json(b / "result.json")
    content = merged(content, {"versions": {"torch": "2.14.0"}, "fingerprints": {"data": "other"}, "git": "1111111"})
    write(b / "result.json", content)
    notes = "\n".join(comparison_notes(compare_points(a, b)))
    assert "other axes: beta 0.1 and 0.2" in notes
    assert "other content: data" in notes
    assert "other versions: torch 2.13.0 and 2.14.0" in notes
    assert "other git commit: 0000000 and 1111111" in notes
    assert "2 results have one seed" in notes


def test_different_judges_are_refused(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 1.0}, judge="gemini")
    with pytest.raises(UserError, match=r"text \(judge oracle and gemini\).*bench\.judge="):
        compare_points(a, b)
    others = [point(tmp_path, "c", {"x": 2.0}), b]
    found = compare_points(a, *others).results
    assert [bool(result.differences) for result in found] == [True, False]
    assert "bench.judge=" in found[1].notes[0]


def test_tasks_of_different_judges_are_left_out_and_named(tmp_path: Path):
    rules = [{"id": "x", "question": "?", "score": 1.0, "words": 1}]
    points = [
        point_of(tmp_path / judge, {"text": rules, "presence": rules}, judge)  # presence is scored by rules
        for judge in ("flash", "pro")
    ]
    result = result_of(*points)
    assert {one.benchmark for one in result.differences} == {"presence"}
    assert any("text (judge flash and pro)" in note for note in result.notes)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"x": 1.0, "q": 1.0}, r"different items in text: 1 only in a, such as 'y'.*bench="),
        ({"x": 1.0}, r"different items in text: 1 only in a"),
    ],
)
def test_different_items_are_refused(tmp_path: Path, scores: dict[str, float | None], message: str):
    with pytest.raises(UserError, match=message):
        compare_points(point(tmp_path, "a", {"x": 1.0, "y": 1.0}), point(tmp_path, "b", scores))


def test_the_same_id_with_another_question_is_refused(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 1.0})
    path = b / "answers" / "text.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"question": "another"}) + "\n")
    with pytest.raises(UserError, match="'x' asks another question in a than in b"):
        compare_points(a, b)


def test_no_common_benchmark_and_one_sided_benchmarks(tmp_path: Path):
    items = [{"id": "x", "question": "?", "score": 1.0, "words": 1}]
    a, b = (point_of(tmp_path / name, {task: items}) for name, task in (("a", "text"), ("b", "visual")))
    with pytest.raises(UserError, match="no benchmark in common: a has text, b has visual"):
        compare_points(a, b)
    c = point_of(tmp_path / "c", {"text": items, "visual": items})
    assert any(note.endswith("one of the two only: visual") for note in result_of(a, c).notes)


def amber(folder: Path, said_no: Sequence[float]) -> Path:
    """Answers to three questions of AMBER whose right answer is no, and one caption with two of four mentions wrong."""
    nothing = dict.fromkeys(load_task("amber").main.columns, 0.0)
    items = [
        {"id": str(n), "score": said, "parts": {**nothing, "right": said, "all_said_no": said, "all_is_no": 1.0}}
        for n, said in enumerate(said_no)
    ]
    caption = {**nothing, "all_caption": 1.0, "all_mentions": 4.0, "all_wrong_mentions": 2.0, "hallucinated": 1.0}
    items.append({"id": "caption", "score": 0.0, "parts": caption})
    return point_of(folder, {"amber": [{"question": "?", "answer": "", "words": 1, **item} for item in items]}, None)


def test_a_main_metric_that_is_no_mean_is_compared_as_a_whole(tmp_path: Path) -> None:
    """F1 is 1/2 and 4/5: AMBER's scores are (50 + 50) / 2 and (50 + 80) / 2."""
    comparison = compare_points(amber(tmp_path / "a", [1.0, 0.0, 0.0]), amber(tmp_path / "b", [1.0, 1.0, 0.0]))
    (first, *others) = comparison.results[0].differences
    assert (first.part, first.estimate.n, first.wins) == ("", 4, None)
    assert first.estimate.value == pytest.approx(15)
    assert first.estimate.low <= 15 <= first.estimate.high
    assert [one.part for one in others] == ["score", "right", "hallucinated", "words"]
    assert "+15.0 " in printed(comparison, 100)


def test_parts_that_a_metric_shows_alone_are_kept() -> None:
    assert serving_parts(load_task("presence")) == {"is_yes"}
    assert serving_parts(None) == set()


@pytest.mark.parametrize(("p", "text"), [(0.0004, "<.001"), (0.0381, ".038"), (1.0, "1.000"), (math.nan, "–")])
def test_p_values(p: float, text: str) -> None:
    assert p_text(p) == text


def test_letters() -> None:
    assert [letter(index) for index in (0, 1, 25, 26)] == ["A", "B", "Z", "A1"]
