"""plan.json of a study: written once, and never replaced."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mmdpo.config.plan_settings import PlanConfig
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.points.study_plan import FILE, differing_keys, read_plan, record_plan

PLAN = PlanConfig(hypothesis="DPO helps", primary="text", seeds=[0, 1])


def test_the_first_plan_stays_and_another_is_a_departure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record_plan(tmp_path, PLAN, "test", ["b", "a"], None)
    record_plan(tmp_path, PLAN, "test", ["a"], None)  # the same command again
    first = read_plan(tmp_path)
    assert first is not None
    assert (first.first.points, first.again, first.others) == (["a", "b"], [], [])
    assert first.first.plan["split"] == "test"
    record_plan(tmp_path, PLAN, "test", ["a", "c"], None)
    for _ in range(2):
        record_plan(tmp_path, replace(PLAN, primary="visual", seeds=[0]), "test", ["a"], None)
    found = read_plan(tmp_path)
    assert found is not None
    assert found.first == first.first
    assert [one.points for one in found.again] == [["c"]]
    assert [differing_keys(first.first.plan, one.plan) for one in found.others] == [["primary", "seeds"]]
    assert "plan.primary, plan.seeds differ" in capsys.readouterr().out


def test_commands_that_start_together_agree_on_one_plan(tmp_path: Path) -> None:
    plans = [replace(PLAN, hypothesis=f"number {number}") for number in range(6)]
    threads = [threading.Thread(target=record_plan, args=(tmp_path, plan, "test", ["a"], None)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_plan(tmp_path)
    assert found is not None
    kept = [found.first, *found.others]
    assert sorted(one.plan["hypothesis"] for one in kept) == [plan.hypothesis for plan in plans]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data["first"]["plan"].update(seeds=[0, 1, 2]),  # after the results were seen
        lambda data: data.pop("others"),
        lambda data: data["first"].update(more=1),
    ],
)
def test_a_plan_that_was_changed_or_damaged_is_refused(tmp_path: Path, damage) -> None:
    record_plan(tmp_path, PLAN, "test", ["a"], None)
    data = read_json(tmp_path / FILE)
    damage(data)
    write_json(tmp_path / FILE, data)
    with pytest.raises(UserError, match=FILE):
        read_plan(tmp_path)
