"""Points that differ in their benchmarks alone: one training, and answers that are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.points import reuse
from mmdpo.points.point import Point, point, require_stage, training_to_take
from mmdpo.points.processes import unnamed_processes
from mmdpo.points.records import write_record, write_values
from mmdpo.points.results import read_training
from mmdpo.points.reuse import known_training, same_model, take_training
from tests.support.adapters import write_adapter, write_answers

OTHER_BENCH = (
    ["bench.tasks=[presence]", "objective=presence"],
    ["bench.items=7"],
    ["bench.judge=longer"],
    ["bench.seed=3"],
)
OTHER_MODEL = (["beta=0.7"], ["seed=1"], ["model.lora.r=2"], ["data.seed=5"], ["method=sft"], ["judge=longer"])


@pytest.fixture
def config(tmp_path: Path):
    return lambda *more, study="first": compose_config([f"out={tmp_path}", f"study={study}", *more])


def train(p: Point) -> Point:
    write_record(p.folder, p.identity)
    write_adapter(p.folder / "adapter", p.name)
    (p.folder / "metrics.jsonl").write_text('{"step": 1}\n')
    digest = adapter_fingerprint(p.folder / "adapter")
    write_json(p.folder / "training.json", {"seconds": 9.0, "steps": 3, "adapter": digest})
    return p


def known(p: Point) -> Path | None:
    return known_training(p.study, p.identity)


@pytest.mark.parametrize("more", OTHER_BENCH, ids=str)
@pytest.mark.parametrize("study", ["first", "second"])
def test_another_benchmark_is_the_same_training(config, more: list[str], study: str) -> None:
    done, other = train(point(config())), point(config(*more, study=study))
    assert other.identity.hex != done.identity.hex
    assert known(other) == training_to_take(other) == done.folder


def test_a_training_by_other_processes_is_none(config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of torchrun are in no identity, and multiply the rows of a step."""
    done, other = train(point(config())), point(config("bench.items=7"))
    path = done.folder / "training.json"
    write_json(path, {**read_json(path), "processes": 2})
    assert known(other) is None
    assert unnamed_processes(done.folder) == 2
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert known(other) == done.folder
    write_json(path, {**read_json(path), "processes": 1})
    assert known(other) is None
    assert unnamed_processes(done.folder) is None


@pytest.mark.parametrize("more", OTHER_MODEL, ids=str)
def test_another_training_is_none(config, more: list[str]) -> None:
    train(point(config()))
    assert known(point(config(*more, "bench.items=7"))) is None


def test_a_base_has_no_training_and_shares_its_answers(config) -> None:
    train(point(config()))
    base, other = (
        point(config("data_scale=0")),
        point(config("data_scale=0", "bench.items=7", "seed=4", study="second")),
    )
    write_record(base.folder, base.identity)
    assert training_to_take(other) is None
    assert same_model(other.study, other.identity) == [base.folder]


@pytest.mark.parametrize("damage", ["adapter", "training.json", "fingerprints.json", "nothing recorded"])
def test_a_damaged_or_unfinished_training_is_not_taken(config, damage: str) -> None:
    done = train(point(config()))
    if damage == "adapter":
        write_adapter(done.folder / "adapter", "changed")
    elif damage == "nothing recorded":  # as adopted from an earlier version
        write_values(done.folder, done.identity.hex, {}, done.identity.contents)
    else:
        (done.folder / damage).write_text("{")
    assert known(point(config("bench.items=7"))) is None


@pytest.mark.parametrize("links", [True, False])
def test_a_training_is_taken_as_a_whole(config, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*given: object) -> None:
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(reuse.os, "link", refuse)
    done, other = train(point(config())), point(config("bench.items=7"))
    (other.folder / "checkpoints" / "1").mkdir(parents=True)
    write_adapter(other.folder / "adapter", "of a killed run")
    take_training(other.folder, done.folder)
    summary = read_training(other.folder)
    assert summary is not None
    assert (summary["steps"], summary["known_from"]) == (3, f"first/{done.name}")
    assert summary["adapter"] == adapter_fingerprint(other.folder / "adapter")
    assert read_training(done.folder) == read_json(done.folder / "training.json")
    weights = [p.folder / "adapter" / "adapter_model.safetensors" for p in (done, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert weights[0].samefile(weights[1]) == links
    assert not (other.folder / "metrics.jsonl").samefile(done.folder / "metrics.jsonl")
    assert not (other.folder / "checkpoints").exists()


def test_a_stage_counts_what_other_points_have(config) -> None:
    done, other = point(config()), point(config("bench.judge=longer", study="second"))
    for stage in (Stage.evaluate, Stage.export, Stage.judge):
        with pytest.raises(UserError, match="stage="):
            require_stage(other, stage)
    train(done)
    require_stage(other, Stage.evaluate)
    require_stage(other, Stage.export)
    with pytest.raises(UserError, match="stage=evaluate"):
        require_stage(other, Stage.judge)
    write_answers(done.folder, *done.config.bench.tasks)
    require_stage(other, Stage.judge)
    more: Config = dataclasses.replace(other.config, bench=dataclasses.replace(other.config.bench, items=3))
    require_stage(point(more), Stage.judge)  # whether the samples are equal is seen when they are judged


def test_another_version_of_the_miniatures_data_is_another_training_and_of_its_benchmarks_is_none() -> None:
    def with_version(settings, version):
        return reuse.model_identity({**settings, "nano.version": version}, {})

    made, own = ({"method.loss_type": "sigmoid", "data.format": form} for form in ("nano", "pairs"))
    assert with_version(made, 1) != with_version(made, 2)
    assert with_version(own, 1) == with_version(own, 2) == reuse.model_identity(own, {})
