"""Halving over a grid whose points are not trained: scores at rungs are written by the test."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config, SearchConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.evaluation.task import Judgment
from mmdpo.files import write_json
from mmdpo.points import status
from mmdpo.points.outcome import outcome
from mmdpo.points.point import Point, points_of
from mmdpo.points.rungs import RungScore, rung_folder, write_rung
from mmdpo.points.search_record import FILE, read_search
from mmdpo.records import write_records
from mmdpo.sweep.halving import describe_halving, is_halved, not_pruned, run_halving
from tests.support.adapters import write_adapter

ITEMS = 40
LRS = (1e-4, 2e-4, 3e-4, 4e-4)


@functools.cache
def config() -> Config:
    return compose_config(["search=halving"])


class Grid:
    """Points whose scores are a base score plus what their axes add; counts what is run."""

    def __init__(
        self, out: Path, lrs: Sequence[float] = LRS, seeds: int = 1, objective: str = "text", **search: Any
    ) -> None:
        whole = dataclasses.replace(config(), out=str(out), study="s", objective=objective)
        whole = dataclasses.replace(whole, search=dataclasses.replace(whole.search, **search))
        values = itertools.product(lrs, range(seeds))
        self.points = points_of(dataclasses.replace(whole, lr=lr, seed=seed) for lr, seed in values)
        self.ran: list[tuple[str, float | None]] = []
        self.fail: set[str] = set()
        self.below: dict[float, float] = {}

    def run(self, points: Sequence[Point], share: float | None) -> dict[Path, str]:
        errors = {}
        for p in points:
            self.ran.append((p.name, share))
            status.plan(p.folder)
            if p.name in self.fail:
                errors[p.folder] = "broken"
            elif share is not None:
                score = p.config.lr * 1e4 + 0.01 * p.config.seed
                folder = rung_folder(p.folder, share)
                judged = [Judgment(str(n), score + n % 3, {}, 1, cluster=str(n)) for n in range(ITEMS)]
                write_records(folder / "judgments/text.jsonl", judged)
                write_rung(p.folder, RungScore(share, 3, {"text": {"value": score}}, "m", self.below.get(p.config.lr)))
        return errors

    def go(self) -> dict[Path, str]:
        self.ran.clear()
        return run_halving(self.points, not_pruned(self.points), self.run)

    def ended(self) -> list[float]:
        by_name = {p.name: p for p in self.points}
        return sorted({by_name[name].config.lr for name, share in self.ran if share is None})


def test_each_rung_prunes_results_once_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Grid(tmp_path, seeds=2)
    assert grid.go() == {}
    assert grid.ended() == [4e-4]
    assert len([1 for _, share in grid.ran if share == 0.25]) == 8
    assert len([1 for _, share in grid.ran if share == 0.5]) == 4  # both seeds of two results
    record = (tmp_path / "s" / FILE).read_bytes()
    pruned = read_search(tmp_path / "s").pruned()
    assert len(pruned) == 6
    worst = next(p for p in grid.points if p.config.lr == 1e-4)
    found = status.read_status(worst.folder)
    assert found.state is status.State.pruned
    assert "rung 0.25" in str(found.pruned)
    assert outcome(worst).pruned == found.pruned
    assert "rung 0.5: 1 of 2 results are kept" in capsys.readouterr().out
    grid.go()  # rerun: nothing is decided again
    assert {share for _, share in grid.ran} == {None}
    assert (tmp_path / "s" / FILE).read_bytes() == record
    assert any("6 points were pruned" in line for line in describe_halving(grid.points))


def test_a_lost_decision_is_made_again_alike(tmp_path: Path) -> None:
    grid = Grid(tmp_path)
    grid.go()
    record = (tmp_path / "s" / FILE).read_bytes()
    (tmp_path / "s" / FILE).unlink()
    grid.go()
    assert (tmp_path / "s" / FILE).read_bytes() == record


def test_points_that_are_added_later_change_no_decision(tmp_path: Path) -> None:
    Grid(tmp_path).go()
    before = read_search(tmp_path / "s").pruned()
    grid = Grid(tmp_path, lrs=(1e-4, 2e-4, 3e-4, 4e-4, 5e-4, 1.5e-4))
    grid.go()
    after = read_search(tmp_path / "s").pruned()
    assert before.keys() <= after.keys()
    fates = {p.config.lr: p.name in after for p in grid.points}
    assert not fates[4e-4]  # kept before
    assert not fates[5e-4]
    assert fates[1.5e-4]


def test_named_points_are_kept_and_unknown_ones_refused(tmp_path: Path) -> None:
    grid = Grid(tmp_path, keep_points=["lr=1e-4"])
    grid.go()
    assert grid.ended() == [1e-4, 3e-4, 4e-4]  # two of three results at the second rung
    with pytest.raises(UserError, match=r"search\.keep_points: beta=7"):
        Grid(tmp_path / "other", keep_points=["beta=7"]).go()


def test_a_failed_seed_holds_its_result_back(tmp_path: Path) -> None:
    grid = Grid(tmp_path, seeds=2)
    broken = next(p for p in grid.points if p.config.lr == 4e-4)
    grid.fail = {broken.name}
    assert grid.go() == {broken.folder: "broken"}
    assert 4e-4 not in grid.ended()
    grid.fail = set()
    assert grid.go() == {}
    assert 4e-4 in grid.ended()


def test_a_ruined_training_is_pruned_although_nothing_else_is(tmp_path: Path) -> None:
    grid = Grid(tmp_path, max_loss=0.0, rungs=[0.25])
    grid.below = {2e-4: 0.45}
    grid.go()
    assert grid.ended() == [1e-4, 3e-4, 4e-4]


def test_a_point_that_is_trained_to_the_end_is_not_ranked_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = Grid(tmp_path)
    worst = grid.points[0]
    write_adapter(worst.folder / "adapter")
    write_json(worst.folder / "training.json", {"seconds": 1.0})
    grid.go()
    assert grid.ended() == [1e-4, 4e-4]
    assert (worst.name, 0.25) not in grid.ran
    assert capsys.readouterr().out.count("1 points were trained to the end") == 2  # at each rung
    assert worst.name not in read_search(tmp_path / "s").pruned()


def test_search_none_revives_what_was_pruned(tmp_path: Path) -> None:
    Grid(tmp_path).go()
    kept = dataclasses.replace(config(), out=str(tmp_path), study="s", lr=1e-4, search=SearchConfig("none"))
    [p] = points_of([kept])
    assert status.read_status(p.folder).state is status.State.pruned
    assert not is_halved(kept, Stage.experiment)
    status.plan(p.folder)
    assert status.read_status(p.folder).pruned is None


def test_another_objective_is_refused(tmp_path: Path) -> None:
    Grid(tmp_path).go()
    with pytest.raises(UserError, match="objective=text"):
        Grid(tmp_path, objective="visual").go()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    Grid(tmp_path).go()
    (tmp_path / "s" / FILE).write_text('{"decisions": [1]}')
    with pytest.raises(UserError, match=FILE):
        Grid(tmp_path).go()
