"""The plan of a study: its primary comparison, its own family of comparisons, and what departed from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.gains import Family, holm, study_gains
from mmdpo.analysis.plan import departures, primary_comparison
from mmdpo.analysis.plan_lines import plan_lines
from mmdpo.analysis.study import Study, read_study
from mmdpo.config.plan_settings import PlanConfig
from mmdpo.files import fingerprint, read_json, write_json
from mmdpo.points.study_plan import FILE, PlanOfCommand, StudyPlan
from tests.support.studies import make_point, make_study

PLAN = PlanConfig(hypothesis="DPO helps", primary="text", seeds=[0, 1])
POINTS = [{"method": method, "seed": seed} for method in ("dpo", "sft") for seed in (0, 1)]
BEFORE, AFTER = "2026-01-01T00:00:00+00:00", "2026-01-03T00:00:00+00:00"


def study_of(
    tmp_path: Path,
    plan: PlanConfig = PLAN,
    points: Sequence[dict[str, Any]] = POINTS,
    time: str = BEFORE,
    **others: Any,
) -> Path:
    """Write a study of finished points with the plan of a command that asked for two methods and two seeds."""
    folder = make_study(tmp_path / "nano", points)
    for path in folder.glob("*/status.json"):
        write_json(path, read_json(path) | {"finished": "2026-01-02T00:00:00+00:00"})
    names = [f"{one['method']}-beta0.1-lr0.0005-sum-data1.0-seed{one['seed']}-00abcd" for one in POINTS]
    write_json(folder / FILE, asdict(StudyPlan(command_of(plan, time, names), **others)))
    return folder


def command_of(plan: PlanConfig, time: str, points: list[str], command: str = "python launch.py") -> PlanOfCommand:
    settings = asdict(plan) | {"split": "test"}
    return PlanOfCommand(settings, fingerprint(settings), time, command, None, points)


def departed(folder: Path) -> str:
    return "\n".join(departures(read_study(folder)))


def as_label(study: Study) -> list[str]:
    comparison = primary_comparison(study)
    return [f"{group.label} - {reference.label}" for reference, group in comparison.pairs] if comparison else []


def test_a_study_that_follows_its_plan_has_no_departures(tmp_path: Path) -> None:
    folder = study_of(tmp_path)
    study = read_study(folder)
    assert departures(study) == []
    assert as_label(study) == ["DPO - base", "SFT - base"]
    lines = plan_lines(study, study_gains(study))
    assert [line.partition(":")[0] for line in lines[1:]] == ["primary", "primary", "primary"]
    assert "DPO helps" in lines[0]
    (folder / FILE).unlink()
    assert (plan_lines(study, study_gains(study)), departures(study)) == ([], [])


def test_the_planned_comparisons_are_corrected_among_themselves(tmp_path: Path) -> None:
    folder = study_of(tmp_path)
    gains = study_gains(read_study(folder))
    all_gains = [gain for of_group in gains.by_group.values() for gain in of_group.values() if gain.verdict]
    primary = [gain for gain in all_gains if gain.family is Family.primary]
    rest = [gain for gain in all_gains if gain.family is Family.exploratory]
    assert [gain.key for gain in primary] == ["text", "text"]
    assert len(primary) + len(rest) == len(all_gains)
    assert gains.comparisons == len(rest) > 0
    for family in (primary, rest):
        assert [gain.p_corrected for gain in family] == pytest.approx(holm([gain.estimate.p for gain in family]))


def test_results_may_be_planned_against_each_other(tmp_path: Path) -> None:
    plan = replace(PLAN, compared={"method": "dpo", "lr": 5e-4, "logprob_avg": False}, against={"method": "sft"})
    study = read_study(study_of(tmp_path, plan))
    gains = study_gains(study)
    assert as_label(study) == ["DPO - SFT"]
    assert [gain.family for gain in gains.planned.values()] == [Family.primary]
    found = {gain.family for of_group in gains.by_group.values() for gain in of_group.values() if gain.verdict}
    assert found == {Family.exploratory}


def test_a_plan_that_came_after_results_counts_for_nothing(tmp_path: Path) -> None:
    study = read_study(study_of(tmp_path, time=AFTER))
    assert "exploratory" in departures(study)[0]
    gains = study_gains(study)
    assert (primary_comparison(study), gains.planned) == (None, {})
    found = {gain.family for of_group in gains.by_group.values() for gain in of_group.values()}
    assert found == {Family.study}


def test_other_points_and_seeds_are_departures(tmp_path: Path) -> None:
    folder = study_of(tmp_path, points=[*POINTS[:3], {"method": "dpo", "seed": 2}])
    make_point(folder, {"method": "sft", "seed": 1}, state="failed", error="x")
    text = departed(folder)
    assert "not planned: 1 point (dpo-beta0.1-lr0.0005-sum-data1.0-seed2" in text
    assert "1 of 4 planned points have no result, of which 1 failed" in text
    assert "DPO: seeds 0, 1, 2; planned: 0, 1" in text
    assert "SFT: seeds 0; planned: 0, 1" in text


def test_other_plans_and_later_points_are_departures(tmp_path: Path) -> None:
    other = command_of(replace(PLAN, primary="visual"), AFTER, ["x"], "python launch.py plan.primary=visual")
    folder = study_of(
        tmp_path, again=[command_of(PLAN, AFTER, ["late"]), command_of(PLAN, BEFORE, ["early"])], others=[other]
    )
    text = departed(folder)
    assert "another plan (primary differ), which does not count: python launch.py plan.primary=visual" in text
    assert "1 point (late) came in after results were there" in text
    assert "(early) came in" not in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"primary": "mt_bench"}, "no score on the primary benchmark mt_bench"),
        ({"compared": {"method": "ipo"}}, "method=ipo against base, cannot be made"),
        ({"against": {"beta": 0.1}}, "against beta=0.1, cannot be made"),  # two results have it
        ({"points": 6}, "ended with 4 trained points; planned: 6"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_a_departure(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    assert expected in departed(study_of(tmp_path, replace(PLAN, **change)))


def test_another_split_is_a_departure_and_not_the_planned_comparison(tmp_path: Path) -> None:
    folder = study_of(tmp_path)
    for path in folder.glob("*/result.json"):
        write_json(path, read_json(path) | {"labels": {"text": {"judge": "oracle", "split": "dev"}}})
    assert "was measured on dev; planned: test" in departed(folder)
    assert as_label(read_study(folder)) == []


def test_a_plan_that_was_changed_is_said(tmp_path: Path) -> None:
    folder = study_of(tmp_path)
    data = read_json(folder / FILE)
    data["first"]["plan"]["primary"] = "visual"
    write_json(folder / FILE, data)
    study = read_study(folder)
    assert "exploratory" in departures(study)[0]
    assert FILE in plan_lines(study, study_gains(study))[0]
