"""A process of a task: its work, its exit code and its status.json."""

import pytest
from filelock import FileLock

from mmdpo.activity import report_saved, report_waiting
from mmdpo.config.choices import Stage
from mmdpo.errors import Stopped, UserError
from mmdpo.points import status
from mmdpo.points.changes import all_inputs
from mmdpo.points.status import State
from mmdpo.signals import Interrupted
from mmdpo.slurm import worker
from mmdpo.slurm.submission import PREPARE
from mmdpo.slurm.supervisor import EXIT_BUSY, EXIT_INTERRUPTED
from mmdpo.sweep import run_point as run_point_module
from tests.slurm.submitted import config, submitted


@pytest.fixture(autouse=True)
def _not_in_a_job(monkeypatch):
    """Leave the environment and signals of the test's process unchanged."""
    monkeypatch.setattr(worker, "from_slurm", lambda: None)
    monkeypatch.setattr(worker, "listen", lambda: None)


def call(submission, kind="tasks", index=0):
    return worker.main([str(submission.folder), kind, "0", str(index)])


@pytest.mark.parametrize(
    ("answer", "code", "printed"),
    [
        (None, 0, ""),
        ("the loss is nan", 1, "the loss is nan"),
        (run_point_module.BUSY, EXIT_BUSY, run_point_module.BUSY),
    ],
)
def test_a_points_end_is_its_exit_code(answer, code, printed, tmp_path, monkeypatch, capsys):
    submission = submitted(tmp_path / "s", count=3, stage=Stage.train)
    asked = []

    def run_point(p, stage, own_log):
        asked.append((p.config.seed, stage))
        return answer

    monkeypatch.setattr(worker, "run_point", run_point)
    assert call(submission, index=2) == code
    assert asked == [(2, Stage.train)]
    assert printed in capsys.readouterr().err


def test_the_traceback_of_a_failed_point_is_in_its_log(tmp_path, monkeypatch, capsys):
    submission = submitted(tmp_path / "s", count=1)

    def fail(p):
        raise ValueError("a shape is wrong")

    monkeypatch.setattr("mmdpo.pipeline.point_stages.experiment", fail)
    assert call(submission) == 1
    log = capsys.readouterr().err
    assert log.startswith("Traceback")
    assert "ValueError: a shape is wrong" in log


def test_an_interrupted_point_is_to_be_continued(tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", count=1)

    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    steps = iter([10, 20])

    def stop(p):
        report_saved("checkpoint", next(steps))
        report_waiting("process 7 on n2")
        assert status.read_status(folder).waiting == "process 7 on n2"
        raise Interrupted("time_limit")

    monkeypatch.setattr("mmdpo.pipeline.point_stages.experiment", stop)
    assert [call(submission), call(submission)] == [EXIT_INTERRUPTED] * 2
    seen = status.read_status(folder)
    assert (seen.state, seen.waiting) == (State.interrupted, None)
    assert [(entry["cause"], entry["saved"]) for entry in seen.interruptions] == [
        ("time_limit", {"checkpoint": 10}),
        ("time_limit", {"checkpoint": 20}),
    ]


@pytest.mark.parametrize(
    ("answers", "code", "state", "error"),
    [
        ([None, None], 0, State.done, None),
        ([UserError("row 7 has no answer"), None], 0, State.done, None),  # the points that need them report it
        ([UserError("no data"), ValueError("x")], 1, State.failed, "no data; ValueError: x"),
        ([UserError("no data"), UserError("no data")], 1, State.failed, "no data"),
    ],
)
def test_a_preparation_fails_if_it_made_nothing(answers, code, state, error, tmp_path, monkeypatch):
    submission = submitted(tmp_path / "s", prepare="7")
    (one,) = submission.tasks(PREPARE)
    submission.write_tasks(PREPARE, [one, one])
    left = iter(answers)

    def prepare(config):
        if (answer := next(left)) is not None:
            raise answer

    monkeypatch.setattr("mmdpo.pipeline.point_stages.make_shared_data", prepare)
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
    monkeypatch.setattr(worker, "rank", lambda: 1)
    assert call(submission) == 0


def test_a_point_that_a_limit_of_the_judge_ends_has_failed_with_the_reason(tmp_path, monkeypatch, capsys):
    submission = submitted(tmp_path / "s", count=1)

    def stop(p):
        raise Stopped("judge.limits.requests_per_day=10 is reached; rerun the same command tomorrow")

    monkeypatch.setattr("mmdpo.pipeline.point_stages.experiment", stop)
    assert call(submission) == 1
    (task,) = submission.tasks()
    seen = status.read_status(submission.folder_of(task))
    assert seen.state is State.failed
    assert "requests_per_day" in seen.error
    printed = capsys.readouterr().err
    assert "requests_per_day" in printed
    assert "Traceback" not in printed


def test_a_stage_without_the_one_before_it_fails_with_the_reason(tmp_path):
    submission = submitted(tmp_path / "s", count=1, stage=Stage.judge)
    assert call(submission) == 1
    (task,) = submission.tasks()
    seen = status.read_status(submission.folder_of(task))
    assert seen.state is State.failed
    assert "stage=evaluate" in seen.error


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Make a data file and its overrides, and a function that writes a submission and then changes the file."""
    monkeypatch.setattr("mmdpo.pipeline.point_stages.experiment", lambda p: pytest.fail("experiment ran"))
    monkeypatch.setattr("mmdpo.pipeline.point_stages.make_shared_data", lambda config: pytest.fail("prepare ran"))
    monkeypatch.setattr("mmdpo.pipeline.point_stages.run_data_stage", lambda config, stage: pytest.fail("stage ran"))
    data = tmp_path / "pairs.jsonl"
    data.write_text("{}\n")
    overrides = ("data=pairs", f"data.path={data}")

    def submit(**parts):
        submission = submitted(tmp_path / "s", *overrides, count=1, **parts)
        submission.inputs = all_inputs([config(tmp_path / "s", *overrides)])
        submission.save()
        data.write_text("{} \n")
        return submission

    return data, submit


@pytest.mark.parametrize(
    ("stage", "kind"), [(Stage.experiment, "tasks"), (Stage.annotate, "tasks"), (Stage.experiment, PREPARE)]
)
def test_a_job_whose_data_changed_since_its_submission_fails_before_it_works(stage, kind, changed, capsys):
    data, submit = changed
    submission = submit(stage=stage, prepare="7" if kind == PREPARE else None)
    assert call(submission, kind) == 1
    (task,) = submission.tasks()
    found = status.read_status(submission.folder / PREPARE if kind == PREPARE else submission.folder_of(task))
    assert found.state is State.failed
    for words in (f"data.path={data}", "study=NEW_NAME", "resume=force"):
        assert words in found.error
    assert found.error in capsys.readouterr().err


def test_a_job_whose_data_are_gone_fails_with_the_reason(changed):
    data, submit = changed
    submission = submit(stage=Stage.annotate)
    data.unlink()
    assert call(submission) == 1
    (task,) = submission.tasks()
    assert f"data.path={data}" in status.read_status(submission.folder_of(task)).error


def test_a_job_whose_data_changed_leaves_the_status_of_another_run_at_its_point(changed):
    _, submit = changed
    submission = submit()
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    status.start(folder)
    before = (folder / "status.json").read_text()
    with FileLock(folder / ".lock"):
        assert call(submission) == EXIT_BUSY
    assert (folder / "status.json").read_text() == before


def test_a_finished_point_stays_done_although_its_data_changed(changed):
    _, submit = changed
    submission = submit()
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    status.start(folder)
    status.finish(folder)
    (folder / "result.json").write_text('{"scores": {}}')
    assert call(submission) == 0
    assert status.read_status(folder).state is State.done
