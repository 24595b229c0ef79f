"""Pruned points in notes, rows and summary.csv: with rung and reason, and never as finished."""

from __future__ import annotations

from pathlib import Path

from mmdpo.analysis.pruned_lines import pruned_lines
from mmdpo.analysis.study import Row, Study, study_of
from mmdpo.points.search_record import DecidedResult, Decision, write_decisions


def pruned_row(folder: Path, name: str, beta: float) -> Row:
    return Row(name, folder / name, state="pruned", pruned="at rung 0.5", axes={"method": "dpo", "beta": beta})


def study(folder: Path) -> Study:
    rows = [pruned_row(folder, f"p{index}", beta) for index, beta in enumerate((0.1, 0.2, 0.3))]
    return study_of(folder, [*rows, Row("p3", folder / "p3", state="done", axes={"method": "dpo", "beta": 0.4})])


def result(point: str, kept: bool) -> DecidedResult:
    return DecidedResult(point, (point,), 7.0 + int(point[1]), kept)


def test_each_result_is_named_at_the_rung_that_pruned_it(tmp_path: Path) -> None:
    first = Decision(0.25, "text", 0.5, tuple(result(f"p{n}", kept=n > 0) for n in range(4)), 0.01)
    second = Decision(0.5, "text", 0.5, (result("p1", False), result("p3", True)), 0.02, refused="only 1 of 2")
    write_decisions(tmp_path, [first, second])
    one, two, refused, other = pruned_lines(study(tmp_path))
    assert "25 %" in one
    assert "beta 0.1 (7)" in one
    assert "0.2" not in one.replace("0.25", "")
    assert "50 %" in two
    assert "beta 0.2 (8)" in two
    assert "only 1 of 2" in refused
    assert "beta 0.3: at rung 0.5" in other  # pruned by something else
