"""Points in this process, one after another."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import pytest

from mmdpo.__main__ import main
from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.models import loading
from mmdpo.models.library_output import suppress_library_output
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
    real = loading.load_checkpoint
    monkeypatch.setattr(
        loading, "load_checkpoint", lambda path, *more, **named: read.append(path) or real(path, *more, **named)
    )
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


def test_each_point_keeps_a_log_as_on_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(p: Point) -> None:
        print("a line of the point")
        with suppress_library_output():
            warnings.warn("of a library", FutureWarning, stacklevel=1)
        if p.config.bench.seed:
            raise ValueError("no \x1b[2Jluck")

    monkeypatch.setattr(stages, "experiment", fails)
    line = [f"out={tmp_path}", "study=s", "data_scale=0"]
    points = [point(compose_config([*line, f"bench.seed={seed}"])) for seed in range(2)]
    assert len(local._run_all(points, Stage.experiment)) == 1
    assert "library" not in capsys.readouterr().out
    for p in points:
        (log,) = (p.folder / "logs").iterdir()
        text = log.read_text()
        assert log.name == "attempt-1-rank-0.log"
        assert p.name in text.splitlines()[0]
        assert "a line of the point\n" in text
        assert "FutureWarning: of a library" in text
        assert ("Traceback" in text) == bool(p.config.bench.seed)
    assert run_point(points[1], Stage.experiment) is not None
    assert (points[1].folder / "logs" / "attempt-2-rank-0.log").exists()
    capsys.readouterr()
    assert main(["logs", str(tmp_path / "s")]) == 0  # of the last failure
    shown = capsys.readouterr().out
    assert "attempt-2-rank-0.log" in shown
    assert "no \\x1b[2Jluck" in shown
    assert "\x1b" not in shown


def test_rows_that_the_model_does_not_take_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "No."}\n')
    config = compose_config([f"out={tmp_path}", "data=pairs", f"data.path={file}", "train.warmup_ratio=0"])
    (pair,) = training_sets.training_set(config).examples
    with_system = TrainingSet([dataclasses.replace(pair, system="Be brief.")], tmp_path, {})
    monkeypatch.setattr(training_sets, "training_set", lambda config: with_system)
    training_sets.check_own_data([config])
    processor = loading.load_processor(config.model)
    processor.chat_template = (
        "{% for m in messages if m['role'] != 'system' %}{{ m['content'][0]['text'] }}{% endfor %}"
    )
    monkeypatch.setattr(loading, "load_processor", lambda model: processor)
    monkeypatch.setattr(local, "_run_all", lambda *given: pytest.fail("it ran"))
    with pytest.raises(UserError, match=r"system turn.*model\.chat_template="):
        local.run_sweep([config])
