"""SLURM's word on a job and its files', as one state. SLURM itself is not asked."""

import os
import time
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.points import status
from mmdpo.points.status import State, Status
from mmdpo.slurm import client as slurm
from mmdpo.slurm import task_states as view
from mmdpo.slurm.client import Job
from mmdpo.slurm.submission import PREPARE, submissions
from mmdpo.slurm.task_states import look, merged
from tests.slurm.submitted import submitted

ID = "8_0"
OWN = Status(State.running, attempts=1, host="n1", job_id=ID)
EARLIER = Status(State.failed, attempts=1, job_id="5_0", error="the loss is nan")


def told(known=None, /, *, status=None, finished=False, job_id=ID, log=__file__, asked=True):
    """State and detail of a task; `known` is SLURM's word on its job."""
    jobs = ({known.id: known} if known else {}) if asked else None
    return merged(status or Status(), finished, job_id, jobs, Path(log))


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("PENDING", "Priority", ("pending", "Priority")),
        ("PENDING", "None", ("pending", "")),
        ("PENDING", "BeginTime", ("pending", "BeginTime")),
        ("CONFIGURING", "None", ("pending", "")),
        ("REQUEUED", "None", ("pending", "")),
        ("REQUEUE_HOLD", "launch failed requeued held", ("pending", "launch failed requeued held")),
        ("RUNNING", "None", ("running", "n1")),
        ("COMPLETING", "None", ("running", "n1")),
        ("SUSPENDED", "None", ("running", "n1")),
        ("SIGNALING", "None", ("running", "n1")),
    ],
)
def test_a_job_that_lives_is_pending_or_running(state, reason, expected):
    assert told(Job(ID, state, reason, "n1")) == expected


def test_a_job_that_waits_to_go_on_says_after_what():
    interrupted = Status(State.interrupted, interruptions=[{"cause": "preempted"}])
    assert told(Job(ID, "PENDING", "Resources"), status=interrupted) == (
        "pending",
        "Resources, goes on after preempted",
    )


def test_the_files_word_on_a_failure_comes_before_slurms():
    own = Status(State.failed, job_id=ID, error="the loss is nan")
    for state in ("FAILED", "COMPLETING", "CANCELLED"):
        assert told(Job(ID, state), status=own) == ("failed", "the loss is nan")
    local = Status(State.failed, error="the loss is nan")  # by cluster=local, after the job
    assert told(Job(ID, "CANCELLED"), status=local) == ("failed", "the loss is nan")


def test_an_earlier_jobs_failure_is_not_this_jobs():
    assert told(Job(ID, "RUNNING", node="n2"), status=EARLIER) == ("running", "n2")
    assert told(Job(ID, "NODE_FAIL", node="n2"), status=EARLIER) == ("failed", "its node failed (n2)")


@pytest.mark.parametrize(
    ("state", "expected", "words"),
    [
        ("OUT_OF_MEMORY", "failed", "raise cluster.mem="),
        ("TIMEOUT", "failed", "raise cluster.timeout_min= or cluster.signal_delay_s="),
        ("DEADLINE", "failed", "ended at its deadline"),
        ("NODE_FAIL", "failed", "its node failed (n1)"),
        ("BOOT_FAIL", "failed", "its node did not start (n1)"),
        ("PREEMPTED", "failed", "not put back into the queue"),
        ("CANCELLED", "cancelled", "cancelled"),
        ("FAILED", "failed", "ended from outside (n1)"),
        ("REVOKED", "failed", "REVOKED (n1)"),
    ],
)
def test_a_job_that_died_without_a_word_is_told_by_slurm(state, expected, words):
    found, detail = told(Job(ID, state, "None", "n1"), status=OWN)
    assert found == expected
    assert words in detail


def test_a_job_that_never_had_a_node_names_none():
    assert told(Job(ID, "CANCELLED", "None", "None assigned")) == ("cancelled", "cancelled")
    assert told(Job(ID, "CANCELLED", "None", "")) == ("cancelled", "cancelled")


def test_a_folder_that_the_node_does_not_see_is_suspected(tmp_path):
    state, detail = told(Job(ID, "FAILED", "NonZeroExitCode", "n1"), log=tmp_path / "8_0.log")
    assert state == "failed"
    assert f"could not write {tmp_path}/8_0.log (n1)" in detail
    assert "out=FOLDER" in detail


def test_points_of_a_failed_preparation_say_so():
    for state in ("CANCELLED", "FAILED"):
        _, detail = told(Job(ID, state, "DependencyNeverSatisfied"))
        assert detail == "the preparation that it waited for failed"


def test_a_result_counts_whatever_slurm_says():
    for known in (Job(ID, "FAILED"), Job(ID, "RUNNING"), None):
        assert told(known, finished=True) == ("done", "")
    assert told(finished=True, asked=False) == ("done", "")


def test_a_job_that_ended_well_without_a_result_has_failed():
    assert told(Job(ID, "COMPLETED"), status=OWN) == ("failed", "job 8_0 ended without a result")


def test_a_job_that_slurm_has_forgotten():
    state, detail = told(status=OWN)
    assert state == "failed"
    assert "job 8_0 is gone" in detail
    assert told(status=EARLIER) == ("failed", "the loss is nan")


def test_a_point_that_sbatch_never_got_is_absent():
    assert told(job_id=None) == ("absent", "not submitted")


def test_where_slurm_cannot_be_asked_the_files_are_believed():
    assert told(status=OWN, asked=False) == ("running", "on n1, by its files; SLURM cannot be asked here")
    assert told(asked=False) == ("pending", "by its files; SLURM cannot be asked here")
    assert told(status=EARLIER, asked=False) == ("failed", "the loss is nan")
    assert told(job_id=None, asked=False) == ("absent", "not submitted")


def seen_states(study, jobs):
    return {name[-13:-7]: one.state for name, one in view.view(submissions(study), jobs).items()}


def test_a_point_is_seen_as_of_its_last_submission(tmp_path):
    study = tmp_path / "s"
    submitted(study, job="8", count=3)
    submitted(study, job="9", count=2, name="20260102-120000-0000")
    ended = {f"8_{index}": Job(f"8_{index}", "CANCELLED") for index in range(3)}
    jobs = {**ended, "9_0": Job("9_0", "RUNNING"), "9_1": Job("9_1", "PENDING")}
    assert [*seen_states(study, jobs).values()] == ["running", "pending", "cancelled"]


def test_a_job_of_an_earlier_submission_that_still_runs_is_not_hidden(tmp_path):
    study = tmp_path / "s"
    submitted(study, job="8", count=1)
    submitted(study, job="9", count=1, name="20260102-120000-0000")
    jobs = {"8_0": Job("8_0", "RUNNING", node="n1"), "9_0": Job("9_0", "FAILED")}
    (one,) = view.view(submissions(study), jobs).values()
    assert (one.job, one.live) == ("8_0", True)


def test_a_failed_preparation_is_the_reason_of_what_it_cancelled(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    submission = submitted(tmp_path / "s", prepare="7")
    status.start(submission.folder / PREPARE)
    status.finish(submission.folder / PREPARE, "data.path: row 7 has no answer")
    jobs = {"7": Job("7", "FAILED"), "8_0": Job("8_0", "CANCELLED"), "8_1": Job("8_1", "CANCELLED")}
    for one in view.view([submission], jobs).values():
        assert (one.state, one.detail) == (
            "cancelled",
            "the preparation failed: data.path: row 7 has no answer",
        )


def test_each_stage_knows_what_done_is(tmp_path):
    for stage, file in (
        (Stage.train, "training.json"),
        (Stage.judge, "result.json"),
        (Stage.experiment, "result.json"),
    ):
        submission = submitted(tmp_path / stage.value, stage=stage, count=1)
        (task,) = submission.tasks()
        folder = submission.folder_of(task)
        status.start(folder)
        status.finish(folder)
        assert [one.state for one in view.view([submission], {}).values()] == ["failed"]
        (folder / file).write_text("{}")
        assert [one.state for one in view.view([submission], {}).values()] == ["done"]
    sampled = submitted(tmp_path / "sample", stage=Stage.sample, count=1)
    (task,) = sampled.tasks()
    assert sampled.folder_of(task).parent == sampled.folder  # no point: its status lies beside its job's
    status.finish(sampled.folder_of(task))
    assert [one.state for one in view.view([sampled], {}).values()] == ["done"]


def test_a_machine_without_slurm_looks_at_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    submission = submitted(tmp_path / "s")
    assert {one.state for one in look(submission.study).values()} == {"pending"}


def test_a_controller_that_does_not_answer_leaves_the_files(tmp_path, monkeypatch):
    def silent(*_):
        raise slurm.Unreachable("squeue has not answered for 60 s")

    monkeypatch.setattr(slurm, "is_here", lambda command: True)
    monkeypatch.setattr(slurm, "jobs", silent)
    submission = submitted(tmp_path / "s")
    assert {one.state for one in look(submission.study).values()} == {"pending"}


@pytest.mark.parametrize(
    ("settings", "changes", "expected"),
    [
        ({"ClusterName": "here"}, {"cluster_name": "here"}, False),
        ({"ClusterName": "here"}, {"cluster_name": "there"}, True),
        ({"ClusterName": "here"}, {}, False),  # a manifest of an earlier version
        ({"PrivateData": "accounts,jobs"}, {"user": "another"}, True),
        ({"PrivateData": "accounts,jobs"}, {}, False),
        ({"PrivateData": "none"}, {"user": "another"}, False),
    ],
)
def test_jobs_that_slurm_does_not_show_here_have_not_ended(settings, changes, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "is_here", lambda command: True)
    monkeypatch.setattr(slurm, "jobs", lambda user, ids: {})
    monkeypatch.setattr(slurm, "settings", lambda: settings)
    submission = submitted(tmp_path / "s", count=1)
    monkeypatch.setattr(view.os, "getuid", lambda: 1000)
    monkeypatch.setattr(view, "own_name", lambda user=submission.user: user)
    for name, value in changes.items():
        setattr(submission, name, value)
    submission.save()
    (one,) = look(submission.study).values()
    assert one.live is expected


def test_where_slurm_cannot_be_asked_a_running_point_shows_when_it_last_wrote(tmp_path):
    submission = submitted(tmp_path / "s", count=1)
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    status.start(folder)
    for minutes, name in ((100, "status.json"), (30, "metrics.jsonl"), (60, "logs/attempt-1-rank-0.log")):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (time.time() - 60 * minutes,) * 2)
    (one,) = view.view([submission], None).values()
    assert (one.state, one.detail.rpartition("; ")[2]) == ("running", "it last wrote 30 min ago")


def test_an_evaluation_is_done_with_the_answers_to_all_tasks(tmp_path):
    submission = submitted(tmp_path / "s", stage=Stage.evaluate, count=1)
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    (folder / "answers").mkdir(parents=True)
    tasks = task.config["bench"]["tasks"]
    for name in tasks:
        assert [one.state for one in view.view([submission], {}).values()] == ["failed"]
        (folder / "answers" / f"{name}.jsonl").write_text("")
    assert len(tasks) == 4
    assert [one.state for one in view.view([submission], {}).values()] == ["done"]
