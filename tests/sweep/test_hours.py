"""Predicted hours of points, from made-up times of this machine."""

from __future__ import annotations

import dataclasses
import json
import socket

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import ClusterConfig
from mmdpo.entry.compose import compose_config
from mmdpo.models.model_files import model_shape
from mmdpo.points.point import point
from mmdpo.sweep.hours import hours_lines, of_one_device
from mmdpo.timings import MEASUREMENT, Timing, timings_file

HERE = Timing("train", {"steps": 1.0}, 1, 1, MEASUREMENT, "CPU", socket.gethostname())


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    return compose_config(["data_scale=0", "bench.items=30", "bench.tasks=[text,presence]", f"out={tmp_path}"])


def test_hours_name_their_parts_source_and_device(base):
    times = [
        dataclasses.replace(HERE, kind="point", amounts={"points": 1.0}, seconds=30),
        dataclasses.replace(HERE, kind="load", amounts={"loads": 1.0}, seconds=6),
        dataclasses.replace(HERE, kind="answers/text", amounts={"answers": 10.0}, seconds=100),
        dataclasses.replace(HERE, kind="judge/oracle", amounts={"answers": 30.0}, seconds=18),
    ]
    file = timings_file(model_shape(base.model))
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(dataclasses.asdict(one)) + "\n" for one in times))
    known, unknown = hours_lines([point(base)], Stage.experiment)
    assert "0.1 hours (+-25 %" in known  # 30 + 6 s, 300 s, 36 s
    assert "start-up 0.01" in known
    assert "evaluation 0.083" in known
    assert "judging 0.01" in known
    assert "a measurement on CPU" in known
    assert "1 x answers/presence" in unknown
    assert "stage=measure" in unknown


def test_without_any_time_the_command_to_measure_is_named(base):
    (line,) = hours_lines([point(base)], Stage.experiment)
    assert "unknown" in line
    assert "stage=measure" in line


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
