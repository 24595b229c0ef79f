"""The rounds of search=halving on SLURM, without SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.files import file_fingerprint, write_json
from mmdpo.points import status
from mmdpo.points.point import Point, point
from mmdpo.points.rungs import RungScore, read_rung, write_rung
from mmdpo.slurm import halving
from mmdpo.slurm.halving import next_round, undecided_round
from mmdpo.slurm.planning import parts_of_plan
from mmdpo.slurm.submission import DECIDE, TASKS, SlurmTask
from mmdpo.slurm.submit import SubmissionPlan
from mmdpo.slurm.task_states import TaskState, combine_states
from tests.slurm.submitted import config, submitted, tasks_of

HALVED = ("search=halving",)


class Study:
    """Three points whose last is pruned at the first rung."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
        self.folder, self.decided, self.judged = folder, [], []
        self.overrides = (*HALVED, *overrides)
        self.tasks = tasks_of(config(folder, *self.overrides), range(3))
        monkeypatch.setattr(halving, "decide_rung", self._decide)
        monkeypatch.setattr(halving, "not_pruned", self._left)
        monkeypatch.setattr(halving, "not_pruned_before", lambda points, share: list(points))
        monkeypatch.setattr(halving, "results_of", lambda points: [])

    @property
    def points(self) -> list[Point]:
        return [task.point for task in self.tasks]

    def measure(self, share: float, *numbers: int) -> None:
        for number in numbers:
            write_rung(self.points[number].folder, RungScore(share, 1, {}, ""))

    def round(self, states: dict[str, TaskState] | None = None, own: str = "") -> list[tuple[int, float | None]]:
        names = [task.name for task in self.tasks]
        found = next_round(self.tasks, lambda p, share: self.judged.append((names.index(p.name), share)), states, own)
        return [(names.index(task.name), task.rung) for task in found]

    def states(self, rung: float | None, jobs: dict[str, str]) -> dict[str, TaskState]:
        """The states after a submission of this rung, whose jobs have ended but for those of `jobs`."""
        submission = submitted(self.folder, *self.overrides, count=3)
        submission.write_tasks(TASKS, [SlurmTask.of(p, Stage.experiment, rung) for p in self.points])
        live = {job: halving_job(job, state) for job, state in jobs.items()}
        return combine_states([submission], live)

    def _decide(self, points: list[Point], share: float) -> None:
        self.decided.append(share)

    def _left(self, points: list[Point]) -> list[Point]:
        return [p for p in points if not (self.decided and p.name == self.tasks[2].name)]


def halving_job(job: str, state: str):
    from mmdpo.slurm.client import Job

    return Job(job, state, node="n1")


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    return Study(tmp_path / "s", monkeypatch)


def test_the_first_round_goes_to_the_first_rung(study):
    assert study.round() == [(0, 0.25), (1, 0.25), (2, 0.25)]
    assert not study.decided


def test_a_measured_rung_is_decided_and_the_next_one_follows(study):
    study.measure(0.25, 0, 1, 2)
    assert study.round() == [(0, 0.5), (1, 0.5)]
    assert study.decided == [0.25]
    study.measure(0.5, 0, 1)
    assert study.round() == [(0, None), (1, None)]


def test_a_command_repeats_what_failed_and_a_deciding_job_does_not(study):
    study.measure(0.25, 0, 1)
    states = study.states(0.25, {})
    assert study.round(states) == [(0, 0.5), (1, 0.5)]
    assert study.decided == [0.25]
    study.decided.clear()
    assert study.round() == [(2, 0.25)]
    assert not study.decided


def test_a_rung_is_not_decided_while_one_of_its_jobs_runs(study):
    study.measure(0.25, 0, 1)
    states = study.states(0.25, {"8_2": "RUNNING"})
    assert study.round(states) == []
    assert not study.decided
    own = next(iter(states.values())).submission.name
    assert study.round(states, own) == [(0, 0.5), (1, 0.5)]


def test_survivors_that_failed_are_left_to_the_next_command(study):
    study.measure(0.25, 0, 1, 2)
    study.measure(0.5, 0, 1)
    assert study.round(study.states(None, {})) == []
    assert study.round() == [(0, None), (1, None)]


def test_a_service_is_asked_before_a_rung_is_decided(tmp_path, monkeypatch):
    study = Study(tmp_path / "s", monkeypatch, "bench.judge=openai", "bench.judge.model=m")
    for p in study.points:
        folder = p.folder / "rungs" / "0.25"
        write_json(folder / "training.json", {"steps": 1})
        answers = folder / "answers" / "text.jsonl"
        answers.parent.mkdir(parents=True)
        answers.write_text("{}\n")
        write_json(answers.with_suffix(".json"), {"content": file_fingerprint(answers)})
    study.round()
    assert study.judged == [(0, 0.25), (1, 0.25), (2, 0.25)]


def test_a_dry_run_decides_nothing(study):
    study.measure(0.25, 0, 1, 2)
    assert {task.rung for task in undecided_round(study.tasks)} == {0.5}
    assert not study.decided


def test_a_deciding_job_follows_each_rung(study):
    at_rung = [SlurmTask.of(p, Stage.experiment, 0.25) for p in study.points]
    plan = SubmissionPlan(study.folder, at_rung, [], {}, [], at_rung)
    cluster = study.points[0].config.cluster
    assert [part.kind for part in parts_of_plan(plan, cluster, False, 100, False)] == [TASKS, DECIDE]
    plan.missing = study.tasks
    assert [part.kind for part in parts_of_plan(plan, cluster, False, 100, False)] == [TASKS]


def test_the_state_of_a_point_between_rungs_is_not_done(study):
    study.measure(0.25, 0)
    status.prune(study.points[1].folder, "at rung 0.25 with text 3 on dev: the others are better")
    study.measure(0.25, 1)
    states = [study.states(0.25, {})[task.name] for task in study.tasks]
    assert [(one.state.value, one.live) for one in states[:2]] == [("planned", False), ("pruned", False)]
    assert "measured at rung 0.25" in states[0].detail
    assert read_rung(study.points[2].folder, 0.25) is None
    assert states[2].state.value in ("cancelled", "failed")


def test_tasks_to_a_rung_are_read_as_they_were_written(study):
    submission = submitted(study.folder, *HALVED, count=1)
    submission.write_tasks(TASKS, [SlurmTask.of(point(config(study.folder)), Stage.experiment, 0.5)])
    assert [task.rung for task in submission.tasks()] == [0.5]
