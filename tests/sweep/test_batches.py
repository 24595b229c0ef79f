"""The work of points in batches: rungs, rounds, jobs, and rows of labelled answers."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.files import write_json
from mmdpo.points.point import Point, points_of
from mmdpo.points.rounds import with_rounds
from mmdpo.points.rungs import RungScore, rung_folder, write_rung
from mmdpo.records import LabelledAnswer, PreferencePair
from mmdpo.sweep import hours, work
from mmdpo.sweep.batches import batches_of
from mmdpo.sweep.speeds import Work

PAIRS = [PreferencePair(f"{n}", f"q{n}", "a", "b") for n in range(160)]
LABELLED = [LabelledAnswer(f"{n}", f"q{n}", f"a{n}", n % 2 == 0) for n in range(160)]
STEPS = 40  # of 160 rows


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data that are made, whose reference log-probs are not known."""
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(work, "_candidates", lambda config: LABELLED if config.method.name == "kto" else PAIRS)
    monkeypatch.setattr(work, "_stages_to_make", lambda config: [Stage.sample] if config.round > 1 else [])
    monkeypatch.setattr(work, "_reference_work", lambda p: [(p.config.data.name, Work("reference", {"passes": 1.0}))])
    monkeypatch.setattr(work, "_look_up_reference", lambda config, examples: (f"seed {config.seed}", False))
    monkeypatch.setattr(work, "sets_of", lambda config: [])
    return tmp_path


@functools.cache
def composed(*overrides: str) -> Config:
    found = compose_config([*overrides, "study=s"])
    train = dataclasses.replace(
        found.train, per_device_train_batch_size=4, gradient_accumulation_steps=1, num_train_epochs=1
    )
    return dataclasses.replace(found, train=train)


def sweep(folder: Path, *overrides: str, seeds: int = 1, lrs: int = 1, rounds: int = 1, size: int = 1) -> list[Point]:
    config = composed(*overrides)
    cluster = dataclasses.replace(config.cluster, points_per_job=size)
    config = dataclasses.replace(config, out=str(folder), cluster=cluster, rounds=rounds)
    configs = [dataclasses.replace(config, lr=(lr + 1) * 1e-4, seed=seed) for lr in range(lrs) for seed in range(seeds)]
    return points_of(with_rounds(configs))


def counts(points: list[Point], least: bool = False, stage: Stage = Stage.experiment) -> Counter[str]:
    """Sum the steps, and count the pieces of the other kinds of work."""
    found: Counter[str] = Counter()
    for parts in hours._processes(points, stage):
        for _, one in parts:
            amount = one.amounts.get("steps", 1.0)
            found[one.kind] += amount * (one.share if least else 1)
    return found


def test_halving_trains_between_none_and_all_of_what_its_rungs_may_prune(made):
    points = sweep(made, "search=halving", lrs=4)
    most, least = counts(points), counts(points, least=True)
    assert most["train/pairs"] == 4 * STEPS
    assert least["train/pairs"] == 4 * 10 + 2 * 10 + 1 * 20
    assert most["point"] == 4 * 3
    assert most["reference"] == 1
    assert most["report"] == 1
    assert counts(points, stage=Stage.train)["report"] == 0


def test_a_measured_rung_is_not_counted_again(made):
    points = sweep(made, "search=halving", lrs=4)
    for p in points:
        write_json(rung_folder(p.folder, 0.25) / "training.json", {"steps": 10})
        write_rung(p.folder, RungScore(0.25, 10, {}, ""))
    assert counts(points)["train/pairs"] == 4 * 30
    assert counts(points, least=True)["train/pairs"] == 2 * 10 + 1 * 20


def test_each_rung_has_jobs_of_its_own(made):
    points = sweep(made, "search=halving", "cluster=slurm", lrs=4, size=2)
    groups = hours._processes(points, Stage.experiment)
    assert [len({p.name for p, _ in group}) for group in groups] == [1, 2, 2, 2, 2, 2, 2]  # the first one prepares


def test_each_round_makes_its_data_and_trains(made):
    points = sweep(made, lrs=2, rounds=3)
    found = counts(points)
    assert found["train/pairs"] == 2 * 3 * STEPS
    assert found["data/sample/model"] == 2 * 2  # of two chains, in the rounds after the first
    assert [{p.config.round for own in one.points for p, _ in own} for one in batches_of(points, Stage.experiment)] == [
        {1},
        {2},
        {3},
    ]


@pytest.mark.parametrize(("size", "groups"), [(1, [1, 1, 1]), (2, [2, 1])])
def test_points_that_share_a_job_share_its_start(made, size, groups):
    points = sweep(made, "cluster=slurm", lrs=3, size=size)
    shared, *jobs = hours._processes(points, Stage.experiment)
    assert [len({p.name for p, _ in job}) for job in jobs] == groups
    assert {one.kind for _, one in shared} == {"reference"}


def test_points_at_once_are_spread_over_processes(made, monkeypatch):
    monkeypatch.setattr(hours, "devices", lambda cluster: ["cpu", "cpu"])
    launcher, *workers = hours._processes(sweep(made, "cluster=local_parallel", lrs=3), Stage.experiment)
    assert [one.kind for _, one in launcher] == ["report"]
    assert [len({p.name for p, _ in worker}) for worker in workers] == [2, 1]
    rounds = hours._processes(sweep(made, "cluster=local_parallel", lrs=3, rounds=2), Stage.experiment)
    assert len(rounds) == 3  # processes are kept between rounds


def test_labelled_answers_have_a_reference_pass_per_seed(made):
    points = sweep(made, "method=kto", lrs=2, seeds=3)
    assert counts(points)["reference"] - 1 == 3  # one more is the stub's
    assert counts(points)["train/pairs/labelled"] == 6 * STEPS
