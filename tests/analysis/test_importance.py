"""Axis importance: which axes moved a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.gains import GainVerdict
from mmdpo.analysis.importance import BETA_HINT, axis_importance, importance_lines
from mmdpo.analysis.study import Study, read_study
from tests.support.studies import interval, make_point, make_study, write, write_answers


def study_of(folder: Path, points: list[tuple[dict[str, Any], list[float]]]) -> Study:
    """A study whose points have the given scores of items on one benchmark."""
    for axes, scores in points:
        point = make_point(folder, axes, n=1)
        for path in (*point.glob("answers/*"), *point.glob("judgments/*")):
            path.unlink()
        items = [{"id": str(n), "question": "?", "answer": "", "score": s} for n, s in enumerate(scores)]
        write_answers(point, "text", items)
        write(
            point / "result.json", {"axes": {"method": "dpo", **axes}, "scores": {"text": interval(1, 1, len(scores))}}
        )
    return read_study(folder)


def test_by_hand(tmp_path: Path) -> None:
    """The effect of lr is the mean of the differences at both betas, and that of beta at both rates."""
    study = study_of(
        tmp_path,
        [
            ({"beta": 0.1, "lr": 1e-4}, [1.0, 2.0, 3.0]),
            ({"beta": 0.1, "lr": 2e-4}, [2.0, 3.0, 5.0]),
            ({"beta": 0.2, "lr": 1e-4}, [1.0, 2.0, 3.0]),
            ({"beta": 0.2, "lr": 2e-4}, [2.0, 4.0, 4.0]),
            ({"beta": 0.3, "lr": 2e-4}, [9.0, 9.0, 9.0]),  # only one rate has it
        ],
    )
    beta, lr = axis_importance(study)
    assert (lr.axis, lr.first, lr.second, lr.pairs) == ("lr", 1e-4, 2e-4, 2)
    assert lr.estimate.value == pytest.approx(((1 + 1 + 2) / 3 + (1 + 2 + 1) / 3) / 2)
    assert (beta.axis, beta.first, beta.second, beta.pairs) == ("beta", 0.1, 0.3, 1)
    assert beta.estimate.value == pytest.approx(9 - 10 / 3)
    # three pairs of betas and one of rates; then two effects
    raw = sorted([min(1.0, 3 * beta.estimate.p), lr.estimate.p])
    assert sorted([beta.p_corrected, lr.p_corrected]) == pytest.approx(
        [min(1.0, 2 * raw[0]), min(1.0, max(2 * raw[0], raw[1]))]
    )


def test_an_axis_that_changes_only_with_another_is_named_beside_it(tmp_path: Path) -> None:
    points = [
        {"method": method, "lr": lr, "seed": seed} for method, lr in (("dpo", 1e-4), ("ipo", 2e-4)) for seed in (0, 1)
    ]
    effects = axis_importance(read_study(make_study(tmp_path, points, n=4)))
    assert {effect.axis for effect in effects} == {"method"}
    assert effects[0].along == ("lr",)
    assert effects[0].pairs == 2  # the seeds
    assert any(line.startswith("method (with its lr)") for line in importance_lines(read_study(tmp_path)))


def test_a_hint_is_given_where_beta_does_not_matter(tmp_path: Path) -> None:
    points: list[tuple[dict[str, Any], list[float]]] = [
        ({"beta": 0.1}, [1.0, 2.0, 3.0, 4.0]),
        ({"beta": 0.2}, [1.0, 3.0, 2.0, 4.0]),
    ]
    study = study_of(tmp_path, points)
    (effect,) = axis_importance(study)
    assert effect.verdict is GainVerdict.unclear
    assert importance_lines(study)[-1] == BETA_HINT
    assert importance_lines(study) == importance_lines(read_study(tmp_path))  # from the estimates that were kept


def test_what_an_axis_moved_has_a_verdict(tmp_path: Path) -> None:
    study = read_study(make_study(tmp_path, [{"beta": 0.1}, {"beta": 3.0}], n=60))
    lines = importance_lines(study)
    assert len(lines) == 2
    assert lines[1].startswith("beta from 0.1 to 3: worse: text -")


@pytest.mark.parametrize("points", [[], [{"beta": 0.1}], [{"seed": 0}, {"seed": 1}]])
def test_studies_without_an_axis_have_no_line(tmp_path: Path, points: list[dict[str, Any]]) -> None:
    assert importance_lines(read_study(make_study(tmp_path, points, n=2))) == []


def test_a_single_item_gives_no_effect(tmp_path: Path) -> None:
    study = study_of(tmp_path, [({"beta": 0.1}, [1.0]), ({"beta": 0.2}, [2.0])])
    assert axis_importance(study) == []
    assert importance_lines(study) == []
