"""Links between studies: equal points are computed once."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from mmdpo.analysis.study import read_study
from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.points import links, status
from mmdpo.points.links import known_elsewhere, link
from mmdpo.points.outcome import outcome
from mmdpo.points.point import Point, point
from mmdpo.points.records import write_record
from mmdpo.sweep import local
from tests.support.adapters import write_adapter, write_answers


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return compose_config([f"out={tmp_path}", "study=first", "tracking=none", "model.before_visual_tuning=null"])


def finish(p: Point) -> None:
    """Write the files of a run, without the run."""
    p.folder.mkdir(parents=True, exist_ok=True)
    write_record(p.folder, p.identity)
    write_json(p.folder / "result.json", {"role": p.role.value, "scores": {"text": {"value": 1.0}}})
    write_json(p.folder / "training.json", {})
    write_adapter(p.folder / "adapter")
    write_answers(p.folder, *p.config.bench.tasks)
    (p.folder / "checkpoints").mkdir(exist_ok=True)
    status.finish(p.folder)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the points that were run, by a stand-in."""
    names: list[str] = []

    def run_all(points: list[Point], stage: object, whole: object = ()) -> dict[Path, str]:
        for p in points:
            links.remove_dangling(p.folder)
            names.append(p.name)
            finish(p)
        return {}

    monkeypatch.setattr(local, "_run_all", run_all)
    monkeypatch.setattr(local, "report_studies", lambda points: None)
    return names


def test_a_point_that_other_processes_trained_is_not_linked(config: Config) -> None:
    finish(point(config))
    other = point(dataclasses.replace(config, study="second"))
    assert known_elsewhere([other])
    write_json(point(config).folder / "training.json", {"processes": 2})
    assert not known_elsewhere([other])


def test_a_study_links_to_what_another_has_finished(
    config: Config, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    local.run_sweep([config])
    assert len(ran) == 2  # with its base
    second = dataclasses.replace(config, study="second")
    sweep = [second, dataclasses.replace(second, beta=0.7)]
    local.describe(sweep, sweep[0].stage)
    assert "known from first, would be linked" in capsys.readouterr().out
    assert not (Path(config.out) / "second").exists()

    outcomes = local.run_sweep(sweep)
    assert "3 points: 0 done, 2 known from first, 1 to run" in capsys.readouterr().out
    assert [one.objective for one in outcomes] == [1.0, 1.0]
    assert len(ran) == 3
    linked = point(second).folder
    assert linked.is_symlink()
    assert not os.path.isabs(os.readlink(linked))
    assert linked.resolve() == point(config).folder.resolve()
    local.run_sweep(sweep)
    assert "3 points: 3 done, 0 to run" in capsys.readouterr().out
    assert {row.state for row in read_study(linked.parent).rows} == {"done"}

    third = dataclasses.replace(config, study="third")
    local.run_sweep([third])
    assert os.readlink(point(third).folder) == f"../first/{linked.name}"  # not to a link


def test_a_stage_alone_links_to_what_another_study_has_finished(
    config: Config, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    local.run_sweep([config])
    for stage in (Stage.train, Stage.evaluate, Stage.judge):
        other = dataclasses.replace(config, study=stage.value)
        local.describe([other], stage)
        printed = capsys.readouterr().out
        assert "known from first, would be linked" in printed
        assert "1 points:" in printed
        local.run_stage([other], stage)
        assert "1 points are known from first" in capsys.readouterr().out
        assert point(other).folder.is_symlink()


def test_a_dry_run_of_a_stage_refuses_what_the_stage_refuses(config: Config) -> None:
    for stage in (Stage.evaluate, Stage.judge):
        with pytest.raises(UserError, match="stage="):
            local.describe([config], stage)


def test_a_point_whose_study_was_deleted_is_run_again(config: Config, ran: list[str]) -> None:
    second = dataclasses.replace(config, study="second")
    local.run_sweep([config])
    local.run_sweep([second])
    shutil.rmtree(Path(config.out) / "first")
    del ran[:]
    rows = {row.role: row for row in read_study(Path(config.out) / "second").rows}
    assert {*rows} == {"base", "trained"}
    for row in rows.values():
        assert row.state == "unreadable"
        assert "first/" in (row.error or "")
        assert "rerun" in (row.error or "")
    local.run_sweep([second])
    assert len(ran) == 2
    assert not point(second).folder.is_symlink()
    assert status.is_done(point(second).folder)


def test_an_unfinished_or_unequal_point_is_not_known(config: Config) -> None:
    p = point(config)
    finish(p)
    second = dataclasses.replace(config, study="second")
    assert [*known_elsewhere([point(second)])] == [point(second).folder]
    assert known_elsewhere([point(dataclasses.replace(second, seed=3))]) == {}
    assert known_elsewhere([point(dataclasses.replace(second, out=f"{config.out}/elsewhere"))]) == {}
    status.finish(p.folder, "it failed")
    assert known_elsewhere([point(second)]) == {}


def test_without_links_the_results_are_copied(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    p, second = point(config), point(dataclasses.replace(config, study="second"))
    finish(p)

    def refuse(self: Path, *given: object, **options: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    link(second.folder, p.folder)
    assert not second.folder.is_symlink()
    assert status.is_done(second.folder)
    assert read_json(second.folder / "result.json") == read_json(p.folder / "result.json")
    assert (second.folder / "answers").exists()
    assert not (second.folder / "checkpoints").exists()


def test_a_failed_attempt_keeps_its_folder_and_gets_the_result(config: Config) -> None:
    p, second = point(config), point(dataclasses.replace(config, study="second"))
    finish(p)
    second.folder.mkdir(parents=True)
    (second.folder / "own").write_text("kept")
    status.start(second.folder)
    link(second.folder, p.folder)
    assert not status.is_done(second.folder)  # it is being run
    assert "no result" in str(outcome(second).error)
    status.finish(second.folder, "it failed")
    os.mkfifo(second.folder / "result.json")  # damaged; nothing waits for a reader of the pipe
    link(second.folder, p.folder)
    assert status.is_done(second.folder)
    assert (second.folder / "own").exists()


def test_a_killed_attempt_gets_the_result(config: Config) -> None:
    p, second = point(config), point(dataclasses.replace(config, study="second"))
    finish(p)
    second.folder.mkdir(parents=True)
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    status.start(second.folder)
    killed = status.read_status(second.folder)
    killed.pid = gone
    status.write_status(second.folder, killed)
    link(second.folder, p.folder)
    assert status.is_done(second.folder)
