"""Paired comparison of two points."""

import json
import math
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mmdpo.analysis.compare import compare, comparison_notes, comparison_table, paired_interval
from mmdpo.errors import UserError
from tests.support.studies import make_point, write, write_answers


def point(folder: Path, name: str, scores: dict[str, float | None], *, judge: str = "oracle") -> Path:
    (folder / name).mkdir()
    write(folder / name / "result.json", {"judge": judge, "scores": {}})
    items = [
        {"id": key, "question": f"{key}?", "answer": "", "score": s, "parts": {"coherence": s}, "words": 3}
        for key, s in scores.items()
    ]
    write_answers(folder / name, "text", items)
    return folder / name


def test_by_hand(tmp_path: Path):
    a = point(tmp_path, "a", {"x": 1.0, "y": 5.0, "z": 4.0, "w": 2.0})
    b = point(tmp_path, "b", {"w": 8.0, "x": 3.0, "y": 5.0, "z": 3.0})  # another order
    score, coherence, words = compare(a, b).differences
    assert (score.part, coherence.part, words.part) == ("score", "coherence", "words")
    assert score.mean == (2 + 0 - 1 + 6) / 4
    assert (score.n, score.wins, score.ties, score.losses) == (4, 2, 1, 1)
    assert (words.mean, words.low, words.high, words.ties) == (0, 0, 0, 4)


def test_interval_against_all_resamples_counted_by_hand():
    differences = [0.0, 1.0, 3.0]
    means = sorted(sum(drawn) / 3 for drawn in product(differences, repeat=3))  # all 27, equally likely
    # 2.5 % lies below the least mean but one (1/27 = 3.7 % each end): the ends are the extremes.
    assert paired_interval(differences) == (pytest.approx(means[0]), pytest.approx(means[-1]))
    assert paired_interval(differences) == paired_interval(differences)


def test_interval_narrows_as_theory_says():
    differences = [(-1.0) ** i for i in range(400)]
    low, high = paired_interval(differences)
    assert high == pytest.approx(1.96 / math.sqrt(400), rel=0.1)
    assert low == pytest.approx(-high, rel=0.1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=2, max_size=30))
def test_interval_holds_the_mean_within_the_data(differences: list[float]):
    low, high = paired_interval(differences)
    assert min(differences) - 1e-9 <= low <= high <= max(differences) + 1e-9


def test_one_item_has_no_interval(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 2.0})
    comparison = compare(a, b)
    assert math.isnan(comparison.differences[0].low)
    with Console(width=80).capture() as _:
        assert comparison_table(comparison).row_count == 3


def test_unscored_items_are_left_out_and_counted(tmp_path: Path):
    a = point(tmp_path, "a", {"x": 1.0, "y": None, "z": 2.0})
    b = point(tmp_path, "b", {"x": 2.0, "y": 5.0, "z": 2.0})
    comparison = compare(a, b)
    assert comparison.differences[0].n == 2
    assert comparison.unscored == 1
    assert any("1 items without a score" in line for line in comparison_notes(comparison))


def test_items_of_a_cluster_are_drawn_together(tmp_path: Path):
    differences = [float(n % 5) for n in range(40)]
    alone = paired_interval(differences, [str(n) for n in range(40)])
    assert alone == paired_interval(differences)
    together = paired_interval(differences, [str(n % 5) for n in range(40)])
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_fewer_is_a_win_where_less_is_better(tmp_path: Path):
    points = []
    for name, unparsed in (("a", 1.0), ("b", 0.0)):
        folder = point(tmp_path, name, {})
        items = [{"id": "x", "question": "?", "score": 1.0, "parts": {"unparsed": unparsed}, "words": 1}]
        write_answers(folder, "presence", items)
        points.append(folder)
    part = next(one for one in compare(*points).differences if one.part == "unparsed")
    assert (part.mean, part.wins, part.losses) == (-1.0, 1, 0)


def test_different_judges_are_refused(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 1.0}, judge="gemini")
    with pytest.raises(UserError, match="different judges: a was rated by 'oracle', b by 'gemini'"):
        compare(a, b)


def test_different_items_are_refused(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0, "y": 1.0}), point(tmp_path, "b", {"x": 1.0, "q": 1.0})
    with pytest.raises(UserError, match=r"different items in text: 1 only in a, such as 'y'.*bench="):
        compare(a, b)


def test_the_same_id_with_another_question_is_refused(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 1.0})
    path = b / "answers" / "text.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"question": "another"}) + "\n")
    with pytest.raises(UserError, match="'x' asks another question in a than in b"):
        compare(a, b)


def test_unfinished_and_torn_points_are_refused(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 1.0})
    (b / "result.json").write_text('{"judge"')
    with pytest.raises(UserError, match="cannot be read"):
        compare(a, b)
    (b / "result.json").unlink()
    with pytest.raises(UserError, match=r"result\.json.*stage=judge"):
        compare(a, b)


def test_no_common_benchmark_and_one_sided_benchmarks(tmp_path: Path):
    a, b = point(tmp_path, "a", {"x": 1.0}), point(tmp_path, "b", {"x": 1.0})
    for name in ("answers", "judgments"):
        (b / name / "text.jsonl").rename(b / name / "visual.jsonl")
    with pytest.raises(UserError, match="no benchmark in common: a has text, b has visual"):
        compare(a, b)
    for name in ("answers", "judgments"):
        (a / name / "visual.jsonl").write_text((b / name / "visual.jsonl").read_text())
    assert compare(a, b).skipped == ("text",)


def test_table_fits_80_columns(tmp_path: Path):
    a = make_point(tmp_path, {"beta": 0.1}, gain=0.0, n=240)
    b = make_point(tmp_path, {"beta": 0.3}, gain=0.5, n=240)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(comparison_table(compare(a, b)))
    lines = capture.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines if "score" in line] == ["text", "visual", "text_noisy"]


def test_tasks_of_different_judges_are_left_out_and_named(tmp_path: Path):
    points = []
    for name, judge in (("a", "flash"), ("b", "pro")):
        folder = point(tmp_path, name, {"x": 1.0}, judge=judge)
        write_answers(folder, "presence", [{"id": "x", "question": "?", "score": 1.0, "words": 1}])
        points.append(folder)
    comparison = compare(*points)  # presence is scored by rules
    assert {one.benchmark for one in comparison.differences} == {"presence"}
    assert comparison.other_judges == ("text (flash and pro)",)
    assert any("text (flash and pro)" in line for line in comparison_notes(comparison))
