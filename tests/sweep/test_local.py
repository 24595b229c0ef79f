"""Points in this process, one after another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.models import loading
from mmdpo.pipeline import point_stages as stages
from mmdpo.pipeline import training_sets
from mmdpo.pipeline.own_pairs import TrainingSet
from mmdpo.points import status
from mmdpo.points.point import Point, point
from mmdpo.sweep import local
from mmdpo.sweep.run_point import run_point


@pytest.mark.parametrize(("processes", "loads"), [(1, 1), (2, 2)])
def test_the_model_stays_in_memory_from_point_to_point_of_a_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, loads: int
) -> None:
    read = []
    real = loading._load
    monkeypatch.setattr(loading, "_load", lambda path, kind: read.append(path) or real(path, kind))
    monkeypatch.setattr(local, "world_size", lambda: processes)

    def measured(p: Point) -> None:
        loading.load_model(p.config.model.path, p.config.model.dtype)

    monkeypatch.setattr(stages, "experiment", measured)
    line = [f"out={tmp_path}", "study=s", "data_scale=0"]
    points = [point(compose_config([*line, f"bench.seed={seed}"])) for seed in range(2)]
    assert len({p.folder for p in points}) == 2
    assert local._run_all(points, Stage.experiment) == {}
    assert len(read) == loads


def test_an_attempt_that_was_killed_is_recorded_when_its_point_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "experiment", lambda p: None)
    p = point(compose_config([f"out={tmp_path}", "study=s", "data_scale=0"]))
    p.folder.mkdir(parents=True)
    status.start(p.folder)  # and no end
    assert run_point(p, Stage.experiment) is None
    found = status.read_status(p.folder)
    assert ([one["cause"] for one in found.interruptions], found.attempts) == (["killed"], 2)


def test_rows_that_the_model_does_not_take_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "No."}\n')
    config = compose_config([f"out={tmp_path}", "data=pairs", f"data.path={file}"])
    (pair,) = training_sets.training_set(config).examples
    with_system = TrainingSet([dataclasses.replace(pair, system="Be brief.")], tmp_path, {})
    monkeypatch.setattr(training_sets, "training_set", lambda config: with_system)
    training_sets.check_own_data(config)
    processor = loading.load_processor(config.model)
    processor.chat_template = (
        "{% for m in messages if m['role'] != 'system' %}{{ m['content'][0]['text'] }}{% endfor %}"
    )
    monkeypatch.setattr(loading, "load_processor", lambda model: processor)
    monkeypatch.setattr(local, "_run_all", lambda *given: pytest.fail("it ran"))
    with pytest.raises(UserError, match=r"system turn.*model\.chat_template="):
        local.run_sweep([config])
