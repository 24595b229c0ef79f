"""A process of a task: what it does, its exit code, and what it leaves in status.json."""

import pytest

from mmdpo.config.choices import Stage
from mmdpo.errors import UserError
from mmdpo.points import status
from mmdpo.points.status import State
from mmdpo.signals import Interrupted
from mmdpo.slurm import worker as rank
from mmdpo.slurm.submission import PREPARE
from mmdpo.slurm.supervisor import BUSY, INTERRUPTED
from mmdpo.sweep.run_point import BUSY as RUNNING
from tests.slurm.submitted import submitted


@pytest.fixture(autouse=True)
def _not_in_a_job(monkeypatch):
    """The test's process stays as it is."""
    monkeypatch.setattr(rank, "from_slurm", lambda: None)
    monkeypatch.setattr(rank, "listen", lambda: None)


def call(submission, kind="tasks", index=0):
    return rank.main([str(submission.folder), kind, "0", str(index)])


@pytest.mark.parametrize(
    ("answer", "code", "printed"),
    [(None, 0, ""), ("the loss is nan", 1, "the loss is nan"), (RUNNING, BUSY, RUNNING)],
)
def test_a_points_end_is_its_exit_code(answer, code, printed, tmp_path, monkeypatch, capsys):
    submission = submitted(tmp_path / "s", count=3, stage=Stage.train)
    asked = []

    def run_point(p, stage):
        asked.append((p.config.seed, stage))
        return answer

    monkeypatch.setattr(rank, "run_point", run_point)
    assert call(submission, index=2) == code
    assert asked == [(2, Stage.train)]
    assert printed in capsys.readouterr().err


def test_the_traceback_of_a_failed_point_is_in_its_log(tmp_path, monkeypatch, capsys):
    submission = submitted(tmp_path / "s", count=1)

    def fail(p):
        raise ValueError("a shape is wrong")

    monkeypatch.setattr("mmdpo.pipeline.point_stages.experiment", fail)
    assert call(submission) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and "ValueError: a shape is wrong" in said


def test_an_interrupted_point_goes_on_later(tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", count=1)

    def stop(p):
        raise Interrupted("time_limit")

    monkeypatch.setattr("mmdpo.pipeline.point_stages.experiment", stop)
    assert call(submission) == INTERRUPTED
    (task,) = submission.tasks()
    seen = status.read_status(submission.folder_of(task))
    assert (seen.state, seen.interruptions[-1]["cause"]) == (State.interrupted, "time_limit")


@pytest.mark.parametrize(
    ("answers", "code", "state", "error"),
    [
        ([None, None], 0, State.done, None),
        ([UserError("row 7 has no answer"), None], 0, State.done, None),  # its points say so themselves
        ([UserError("no data"), ValueError("x")], 1, State.failed, "no data; ValueError: x"),
        ([UserError("no data"), UserError("no data")], 1, State.failed, "no data"),
    ],
)
def test_a_preparation_fails_where_it_has_made_nothing(answers, code, state, error, tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", prepare="7")
    (one,) = submission.tasks(PREPARE)
    submission.write_tasks(PREPARE, [one, one])
    left = iter(answers)

    def prepare(config):
        if (answer := next(left)) is not None:
            raise answer

    monkeypatch.setattr("mmdpo.pipeline.point_stages.prepare", prepare)
    assert call(submission, PREPARE) == code
    seen = status.read_status(submission.folder / PREPARE)
    assert (seen.state, seen.error) == (state, error)


def test_a_stage_that_makes_data_has_its_status_beside_the_submission(tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", count=1, stage=Stage.sample)
    made = []
    monkeypatch.setattr("mmdpo.pipeline.point_stages.run_data_stage", lambda config, stage: made.append(stage))
    assert call(submission) == 0
    assert made == [Stage.sample]
    (task,) = submission.tasks()
    assert status.read_status(submission.folder / task.name).state is State.done


def test_only_the_first_process_makes_data(tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", count=1, stage=Stage.sample)
    monkeypatch.setattr("mmdpo.pipeline.point_stages.run_data_stage", lambda config, stage: pytest.fail("made twice"))
    monkeypatch.setattr(rank, "rank", lambda: 1)
    assert call(submission) == 0
