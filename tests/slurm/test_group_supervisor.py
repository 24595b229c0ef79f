"""The supervisor of a job that runs several points, with stand-ins for srun and SLURM."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdpo.points import status
from mmdpo.points.status import State
from mmdpo.slurm import group_supervisor, supervisor, task_states
from mmdpo.slurm.cancellations import record_cancelled
from mmdpo.slurm.submission import Submission
from mmdpo.slurm.supervisor import EXIT_BUSY, EXIT_INTERRUPTED
from tests.slurm.submitted import submitted
from tests.slurm.test_supervisor import JOB, world

__all__ = ["world"]


class Group:
    """A job of three points, whose processes do what a test says."""

    def __init__(self, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.submission = submitted(study, count=5, points_per_job=3)
        self.tasks = self.submission.group(self.submission.parts[0], 0)
        self.runs: list[str] = []
        self.ends: list[Callable[[list[Path]], int]] = []
        monkeypatch.setattr(supervisor, "run_srun", self._srun)
        monkeypatch.setattr(group_supervisor, "is_finished", lambda task, folder, now=None: self._is_done(folder))
        for folder in self.folders:
            folder.mkdir(parents=True)

    @property
    def folders(self) -> list[Path]:
        return [self.submission.folder_of(task) for task in self.tasks]

    def run(self, *ends: Callable[[list[Path]], int]) -> int:
        self.ends = [*ends]
        return group_supervisor.supervise_group(self.submission, self.submission.parts[0], 0, self.tasks, JOB)

    def states(self) -> list[str]:
        return [status.read_status(folder).state.value for folder in self.folders]

    def attempts(self) -> list[int]:
        return [status.read_status(folder).attempts for folder in self.folders]

    def _srun(self, submission: Submission, part: object, index: int, log: Path, lines: str) -> int:
        self.runs.append(lines)
        return self.ends.pop(0)([self.folders[int(line)] for line in lines.split(",")])

    def _is_done(self, folder: Path) -> bool:
        return status.read_status(folder).state is State.done


@pytest.fixture
def group(tmp_path, monkeypatch) -> Group:
    return Group(tmp_path / "s", monkeypatch)


def done(folders: list[Path]) -> int:
    for folder in folders:
        status.start(folder)
        status.finish(folder)
    return 0


def first_fails(folders: list[Path]) -> int:
    status.start(folders[0])
    status.finish(folders[0], "the loss is nan")
    done(folders[1:])
    return 1


def second_is_killed(folders: list[Path]) -> int:
    done(folders[:1])
    status.start(folders[1])
    return 128 + signal.SIGKILL


def second_is_saved(folders: list[Path]) -> int:
    second_is_killed(folders)
    status.interrupt(folders[1], "time_limit")
    return EXIT_INTERRUPTED


def test_all_points_of_a_job_run_in_one_set_of_processes(group, world):
    assert group.run(done) == 0
    assert (group.runs, group.attempts()) == (["0,1,2"], [1, 1, 1])


def test_a_failed_point_ends_no_other(group, world):
    assert group.run(first_fails) == 1
    assert group.states() == ["failed", "done", "done"]
    assert (group.runs, world.requeued) == (["0,1,2"], [])


@pytest.mark.parametrize(("end", "cause"), [(second_is_killed, "killed"), (second_is_saved, "time_limit")])
def test_an_interrupted_job_continues_with_its_unfinished_points(end, cause, group, world):
    assert group.run(end) == 1
    assert world.requeued == [JOB]
    assert group.states() == ["done", "interrupted", "planned"]
    assert status.read_status(group.folders[1]).interruptions[-1]["cause"] == cause
    assert group.run(done) == 0
    assert (group.runs, group.attempts()) == (["0,1,2", "1,2"], [1, 2, 1])


def test_a_point_that_is_killed_too_often_fails_and_the_others_run(group, world):
    def dies(folders: list[Path]) -> int:
        status.start(folders[0])
        return 128 + signal.SIGKILL

    assert group.run(dies) == 1
    assert group.run(dies, done) == 1  # cluster.max_attempts.killed=2
    assert group.states() == ["failed", "done", "done"]
    assert "cluster.max_attempts.killed=2" in (status.read_status(group.folders[0]).error or "")
    assert group.runs == ["0,1,2", "0,1,2", "1,2"]


def test_processes_that_end_before_a_point_begins_fail_the_first_one(group, world):
    assert group.run(lambda folders: 1, done) == 1
    assert group.states() == ["failed", "done", "done"]


def test_a_point_that_another_run_holds_is_left_to_it(group, world):
    def busy(folders: list[Path]) -> int:
        done(folders[1:])
        return EXIT_BUSY

    assert group.run(busy) == 1
    assert group.attempts() == [0, 1, 1]
    assert (world.waited, world.requeued) == (0.0, [])


def test_a_cancelled_point_is_left_out(group, world):
    record_cancelled(group.submission, [], [group.tasks[1].name])
    assert group.run(done) == 1
    assert group.runs == ["0,2"]


def test_the_lines_of_an_array_map_to_its_jobs(group):
    part = group.submission.parts[0]
    assert (part.jobs, part.ids()) == (2, ["8_0", "8_0", "8_0", "8_1", "8_1"])
    names = [task.name for task in group.submission.tasks()]
    assert [task.name for task in group.submission.group(part, 1)] == names[3:]


def test_the_states_of_points_that_share_a_job(group, monkeypatch):
    for variable, value in {"SLURM_ARRAY_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "0"}.items():
        monkeypatch.setenv(variable, value)
    first, second, _ = group.folders
    status.start(first)
    status.finish(first, "the loss is nan")
    status.start(second)
    jobs = {f"8_{index}": task_states.slurm.Job(f"8_{index}", "RUNNING", node="n1") for index in range(2)}
    states = [*task_states.combine_states([group.submission], jobs).values()]
    assert [one.state.value for one in states] == ["failed", "running", "pending", "pending", "pending"]
    assert states[2].detail == "waits for other points of job 8_0 on n1"
    record_cancelled(group.submission, [], [group.tasks[2].name])
    assert [*task_states.combine_states([group.submission], jobs).values()][2].state is State.cancelled
