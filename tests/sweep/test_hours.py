"""Predicted hours of points, from made-up times of this machine."""

from __future__ import annotations

import dataclasses
import json
import socket

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.entry.compose import compose_config
from mmdpo.models.model_files import model_shape
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.points.point import point
from mmdpo.sweep import hours
from mmdpo.sweep.batches import Batch
from mmdpo.sweep.hours import hours_lines, of_one_device
from mmdpo.sweep.speeds import Work
from mmdpo.sweep.work import DATA_NOT_MADE, samples_work
from mmdpo.timings import MEASUREMENT, Timing, timings_file

HERE = Timing("train", {"steps": 1.0}, 1, 1, MEASUREMENT, "CPU", socket.gethostname())


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    return compose_config(["data_scale=0", "bench.items=30", "bench.tasks=[text,presence]", f"out={tmp_path}"])


def keep(times: list[Timing], config: Config) -> None:
    file = timings_file(model_shape(config.model))
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(dataclasses.asdict(one)) + "\n" for one in times))


def test_hours_name_their_parts_source_and_device(base):
    times = [
        dataclasses.replace(HERE, kind="point", amounts={"points": 1.0}, seconds=66),
        dataclasses.replace(HERE, kind="load", amounts={"loads": 1.0}, seconds=6),
        dataclasses.replace(HERE, kind="answers/text", amounts={"answers": 10.0}, seconds=100),
        dataclasses.replace(HERE, kind="judge/oracle", amounts={"answers": 30.0}, seconds=0.018),
    ]
    keep(times, base)
    known, unknown = hours_lines([point(base)], Stage.experiment)
    assert "0.1 hours (+-25 %" in known  # 66 + 6 s, 300 s, 0.036 s
    assert "start-up 0.02" in known
    assert "evaluation 0.083" in known
    assert "judging under 0.0001" in known
    assert "a measurement on CPU" in known
    assert "1 x answers/presence" in unknown
    assert "stage=measure" in unknown


def test_a_method_that_was_never_measured_names_whose_speed_it_takes(base, monkeypatch):
    kto = dataclasses.replace(base, data_scale=1.0, method=compose_config(["method=kto"]).method)
    batch = Batch([], [[(point(kto), Work("train/pairs/labelled", {"steps": 720.0}))]])
    monkeypatch.setattr(hours, "batches_of", lambda points, stage: [batch])
    keep([dataclasses.replace(HERE, kind="train/pairs", amounts={"steps": 1.0}, seconds=5)] * 2, base)
    known, borrowed, _ = hours_lines([point(kto)], Stage.train)
    assert "training 1" in known
    assert "+-25 %" in known
    assert "method=kto" in borrowed
    assert "speed of train/pairs;" in borrowed
    assert "stage=measure" in borrowed


def test_the_hours_of_a_pruned_grid_are_a_range(base, monkeypatch):
    works = [Work("train/pairs", {"steps": 720.0}), Work("train/pairs", {"steps": 720.0}, share=0.5)]
    monkeypatch.setattr(hours, "batches_of", lambda points, stage: [Batch([], [[(point(base), one) for one in works]])])
    keep([dataclasses.replace(HERE, kind="train/pairs", amounts={"steps": 1.0}, seconds=5)] * 2, base)
    known, explained, _ = hours_lines([point(base)], Stage.train)
    assert "training 1.5 to 2" in known
    assert "rung" in explained


def test_a_training_without_data_is_not_told_to_be_measured(base, monkeypatch):
    works = [Work(DATA_NOT_MADE, {}), Work("point", {"points": 1.0})]
    monkeypatch.setattr(hours, "batches_of", lambda points, stage: [Batch([], [[(point(base), one) for one in works]])])
    keep([dataclasses.replace(HERE, kind="point", amounts={"points": 1.0})], base)
    _, data, others = hours_lines([point(base)], Stage.train)
    assert "stage=build" in data
    assert "stage=measure" not in data
    assert others.startswith("hours: not counted, since no speed is known: 1 x process;")


def test_without_any_time_the_command_to_measure_is_named(base):
    (line,) = hours_lines([point(base)], Stage.experiment)
    assert "unknown" in line
    assert "stage=measure" in line


def test_samples_that_are_in_the_cache_are_not_made_again(base):
    assert [one.amounts["items"] for _, one in samples_work([point(base)], Stage.evaluate)] == [30, 30]
    sample_sets_of(base)
    assert not samples_work([point(base)], Stage.evaluate)
    assert not samples_work([point(base)], Stage.train)


def test_the_device_is_that_of_this_machine_or_of_the_partition():
    other = dataclasses.replace(HERE, host="elsewhere", device="H100", partition="long")
    third = dataclasses.replace(HERE, host="third", device="A100", partition="short")
    four = dataclasses.replace(third, device="4 x A100", processes=4)
    known = [HERE, other, third, four]
    local = compose_config([]).cluster
    slurm: ClusterConfig = compose_config(["cluster=slurm", "cluster.partition=long"]).cluster
    assert of_one_device(known, local) == [HERE]
    assert of_one_device(known, slurm) == [other]
    assert of_one_device(known, dataclasses.replace(slurm, partition="new")) == [third]
    assert of_one_device(known, dataclasses.replace(slurm, gpus_per_node=4)) == [four]
    assert of_one_device([other], local) == []
