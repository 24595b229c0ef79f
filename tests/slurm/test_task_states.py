"""The states of tasks from SLURM's jobs and from files, with a stand-in for SLURM."""

import dataclasses
import os
import time
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.points import status
from mmdpo.points.status import State, Status
from mmdpo.slurm import client as slurm
from mmdpo.slurm import task_states
from mmdpo.slurm.cancellations import record_cancelled
from mmdpo.slurm.client import Job
from mmdpo.slurm.submission import PREPARE, read_submissions, user_name
from mmdpo.slurm.task_states import combine_state, combine_states, read_task_states
from tests.slurm.submitted import submitted
from tests.support.adapters import write_adapter, write_answers

ID = "8_0"
OWN = Status(State.running, attempts=1, host="n1", job_id=ID)
EARLIER = Status(State.failed, attempts=1, job_id="5_0", error="the loss is nan")


def state_of(known=None, /, *, status=None, finished=False, job_id=ID, log=__file__, asked=True):
    """State and detail of a task; `known` is its job as SLURM reports it."""
    jobs = ({known.id: known} if known else {}) if asked else None
    return combine_state(status or Status(), finished, job_id, jobs, Path(log))


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("PENDING", "Priority", ("pending", "Priority")),
        ("PENDING", "None", ("pending", "")),
        ("PENDING", "BeginTime", ("pending", "BeginTime")),
        ("CONFIGURING", "None", ("pending", "")),
        ("REQUEUED", "None", ("pending", "")),
        ("RUNNING", "None", ("running", "n1")),
        ("COMPLETING", "None", ("running", "n1")),
        ("SIGNALING", "None", ("running", "n1")),
    ],
)
def test_a_live_job_is_pending_or_running(state, reason, expected):
    assert state_of(Job(ID, state, reason, "n1")) == expected


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("PENDING", "JobHeldUser", "held (JobHeldUser); type scontrol release 8_0"),
        ("PENDING", "JobHeldAdmin", "held (JobHeldAdmin); type scontrol release 8_0"),
        ("PENDING", "launch failed requeued held", "held (launch failed requeued held); type scontrol release 8_0"),
        ("PENDING", "job requeued in held state", "type scontrol release 8_0"),
        ("REQUEUE_HOLD", "None", "held (REQUEUE_HOLD); type scontrol release 8_0"),
        ("SPECIAL_EXIT", "None", "type scontrol release 8_0"),
        ("SUSPENDED", "None", "suspended on n1; if it is not resumed, type scontrol resume 8_0"),
        ("STOPPED", "None", "type scontrol resume 8_0"),
        ("PENDING", "InvalidQOS", "retry with other settings of cluster."),
        ("PENDING", "QOSMaxGRESPerJob", "retry with other settings of cluster."),
        ("PENDING", "QOSMaxJobsPerUserLimit", "QOSMaxJobsPerUserLimit"),  # starts when others have ended
    ],
)
def test_a_job_that_would_wait_for_ever_names_what_to_type(state, reason, words):
    interrupted = Status(State.interrupted, interruptions=[{"cause": "terminated", "job_id": ID}])
    found, detail = state_of(Job(ID, state, reason, "n1"), status=interrupted)
    assert found == "pending"
    assert words in detail
    assert ("continues after terminated" in detail) == (reason == "QOSMaxJobsPerUserLimit")


def test_a_requeued_job_shows_its_last_interruption():
    interrupted = Status(State.interrupted, interruptions=[{"cause": "preempted"}])
    assert state_of(Job(ID, "PENDING", "Resources"), status=interrupted) == (
        "pending",
        "Resources, continues after preempted",
    )


def test_the_files_take_precedence_on_failures():
    own = Status(State.failed, job_id=ID, error="the loss is nan")
    for state in ("FAILED", "COMPLETING", "CANCELLED"):
        assert state_of(Job(ID, state), status=own) == ("failed", "the loss is nan")
    local = Status(State.failed, error="the loss is nan")  # by cluster=local after the job
    assert state_of(Job(ID, "CANCELLED"), status=local) == ("failed", "the loss is nan")


def test_an_earlier_jobs_failure_is_not_this_jobs():
    assert state_of(Job(ID, "RUNNING", node="n2"), status=EARLIER) == ("running", "n2")
    assert state_of(Job(ID, "NODE_FAIL", node="n2"), status=EARLIER) == ("failed", "its node failed (n2)")


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
def test_a_job_that_died_without_a_status_has_slurms_reason(state, expected, words):
    found, detail = state_of(Job(ID, state, "None", "n1"), status=OWN)
    assert found == expected
    assert words in detail


def test_a_job_without_a_node_names_none():
    assert state_of(Job(ID, "CANCELLED", "None", "None assigned")) == ("cancelled", "cancelled")
    assert state_of(Job(ID, "CANCELLED", "None", "")) == ("cancelled", "cancelled")


def test_a_folder_missing_on_the_node_is_named(tmp_path):
    state, detail = state_of(Job(ID, "FAILED", "NonZeroExitCode", "n1"), log=tmp_path / "8_0.log")
    assert state == "failed"
    assert f"could not write {tmp_path}/8_0.log (n1)" in detail
    assert "out=FOLDER" in detail


def test_points_of_a_failed_preparation_name_it():
    for state in ("CANCELLED", "FAILED"):
        _, detail = state_of(Job(ID, state, "DependencyNeverSatisfied"))
        assert detail == "the preparation that it waited for failed"


def test_a_result_counts_for_any_state_of_the_job():
    for known in (Job(ID, "FAILED"), Job(ID, "RUNNING"), None):
        assert state_of(known, finished=True) == ("done", "")
    assert state_of(finished=True, asked=False) == ("done", "")


def test_a_job_that_ended_well_without_a_result_has_failed():
    assert state_of(Job(ID, "COMPLETED"), status=OWN) == ("failed", "job 8_0 ended without a result")


def test_a_task_that_left_the_queue_before_it_started_was_cancelled(tmp_path):
    state, detail = state_of(log=tmp_path / "8_0.log")
    assert state == "cancelled"
    assert "job 8_0 left SLURM's queue before it started" in detail
    assert state_of()[0] == "failed"  # it has written its log


def test_a_recorded_cancellation_counts_unless_the_job_is_live(tmp_path):
    submission = submitted(tmp_path / "s", count=3, prepare="7")
    record_cancelled(submission, ["8_0", "8_2"])
    record_cancelled(submission, [])
    with (submission.folder / "cancelled.jsonl").open("a") as file:
        file.write('["8_1"]\n{"job": "8_1"')  # torn
    for jobs in ({"8_2": Job("8_2", "RUNNING"), "7": Job("7", "FAILED")}, None):
        states = [*combine_states([submission], jobs).values()]
        assert states[0].state == "cancelled"
        assert states[0].detail.startswith(f"cancelled by {user_name()} at 2")
        assert states[1].detail.startswith("cancelled by") is False
        assert states[2].state == ("running" if jobs else "cancelled")


def test_a_running_point_says_which_process_it_waits_for():
    waiting = dataclasses.replace(OWN, waiting="process 7 on n2, which makes the same reference")
    assert state_of(Job(ID, "RUNNING", node="n1"), status=waiting) == (
        "running",
        "n1, waiting for process 7 on n2, which makes the same reference",
    )


def test_a_job_without_a_record_in_slurm():
    state, detail = state_of(status=OWN)
    assert state == "failed"
    assert "job 8_0 is gone" in detail
    assert state_of(status=EARLIER) == ("failed", "the loss is nan")


def test_a_point_that_sbatch_did_not_accept_is_planned():
    assert state_of(job_id=None) == ("planned", "not submitted")


def test_the_files_decide_if_slurm_cannot_be_asked():
    assert state_of(status=OWN, asked=False) == ("running", "on n1, according to its files; SLURM cannot be asked here")
    assert state_of(asked=False) == ("pending", "according to its files; SLURM cannot be asked here")
    assert state_of(status=EARLIER, asked=False) == ("failed", "the loss is nan")
    assert state_of(job_id=None, asked=False) == ("planned", "not submitted")


def seen_states(study, jobs):
    return {name[-13:-7]: one.state for name, one in combine_states(read_submissions(study), jobs).items()}


def test_a_point_has_the_state_of_its_last_submission(tmp_path):
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
    (one,) = combine_states(read_submissions(study), jobs).values()
    assert (one.job, one.live) == ("8_0", True)


def test_a_failed_preparation_is_the_reason_of_the_points_it_cancelled(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    submission = submitted(tmp_path / "s", prepare="7")
    status.start(submission.folder / PREPARE)
    status.finish(submission.folder / PREPARE, "data.path: row 7 has no answer")
    jobs = {"7": Job("7", "FAILED"), "8_0": Job("8_0", "CANCELLED"), "8_1": Job("8_1", "CANCELLED")}
    for one in combine_states([submission], jobs).values():
        assert (one.state, one.detail) == (
            "cancelled",
            "the preparation failed: data.path: row 7 has no answer",
        )


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job("7", "RUNNING", "None", "n1"), "waits for its preparation, job 7: running on n1"),
        (Job("7", "PENDING", "Resources"), "waits for its preparation, job 7: Resources"),
        (Job("7", "PENDING", "JobHeldUser"), "job 7: held (JobHeldUser); type scontrol release 7"),
    ],
)
def test_points_that_wait_say_how_their_preparation_is(job, words, tmp_path):
    earlier = submitted(tmp_path / "s", prepare="7", job=None)
    later = submitted(tmp_path / "s", job="8", count=1, name="20260102-120000-0000")
    later.prepared_by = [earlier.name, "deleted"]
    jobs = {"7": job, "8_0": Job("8_0", "PENDING", "Dependency")}
    (one, other) = combine_states([earlier, later], jobs).values()
    assert (one.state, other.state) == ("pending", "planned")
    assert words in one.detail


def test_each_stage_has_its_own_sign_of_being_done(tmp_path):
    for stage, file in (
        (Stage.train, "training.json"),
        (Stage.judge, "result.json"),
        (Stage.experiment, "result.json"),
        (Stage.export, "merged/config.json"),
    ):
        submission = submitted(tmp_path / stage.value, stage=stage, count=1)
        (task,) = submission.tasks()
        folder = submission.folder_of(task)
        status.start(folder)
        status.finish(folder)
        assert [one.state for one in combine_states([submission], {}).values()] == ["cancelled"]
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text('{"scores": {}}')
        if stage is Stage.train:
            write_adapter(folder / "adapter")
        assert [one.state for one in combine_states([submission], {}).values()] == ["done"]
    sampled = submitted(tmp_path / "sample", stage=Stage.sample, count=1)
    (task,) = sampled.tasks()
    assert sampled.folder_of(task).parent == sampled.folder  # not a point: its status is beside its submission
    status.finish(sampled.folder_of(task))
    assert [one.state for one in combine_states([sampled], {}).values()] == ["done"]


def test_a_machine_without_slurm_reads_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    submission = submitted(tmp_path / "s")
    assert {one.state for one in read_task_states(submission.study).values()} == {"pending"}


def test_a_controller_that_does_not_answer_leaves_the_files(tmp_path, monkeypatch):
    def unreachable(*_):
        raise slurm.Unreachable("squeue has not answered for 60 s")

    monkeypatch.setattr(slurm, "is_installed", lambda command: True)
    monkeypatch.setattr(slurm, "list_jobs", unreachable)
    submission = submitted(tmp_path / "s")
    assert {one.state for one in read_task_states(submission.study).values()} == {"pending"}


@pytest.mark.parametrize(
    ("settings", "changes", "expected"),
    [
        ({"ClusterName": "here"}, {"cluster_name": "here"}, False),
        ({"ClusterName": "here"}, {"cluster_name": "there"}, True),
        ({"ClusterName": "here"}, {}, False),  # a submission of an earlier version
        ({"PrivateData": "accounts,jobs"}, {"user": "another"}, True),
        ({"PrivateData": "accounts,jobs"}, {}, False),
        ({"PrivateData": "none"}, {"user": "another"}, False),
    ],
)
def test_jobs_that_slurm_does_not_show_here_have_not_ended(settings, changes, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "is_installed", lambda command: True)
    monkeypatch.setattr(slurm, "list_jobs", lambda user, ids: {})
    monkeypatch.setattr(slurm, "controller_config", lambda: settings)
    submission = submitted(tmp_path / "s", count=1)
    monkeypatch.setattr(task_states.os, "getuid", lambda: 1000)
    monkeypatch.setattr(task_states, "user_name", lambda user=submission.user: user)
    for name, value in changes.items():
        setattr(submission, name, value)
    submission.save()
    (one,) = read_task_states(submission.study).values()
    assert one.live is expected


def test_a_running_point_shows_when_it_last_wrote_if_slurm_cannot_be_asked(tmp_path):
    submission = submitted(tmp_path / "s", count=1)
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    status.start(folder)
    for minutes, name in ((100, "status.json"), (30, "metrics.jsonl"), (60, "logs/attempt-1-rank-0.log")):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (time.time() - 60 * minutes,) * 2)
    (one,) = combine_states([submission], None).values()
    assert (one.state, one.detail.rpartition("; ")[2]) == ("running", "it last wrote 30 min ago")


def test_an_evaluation_is_done_with_the_answers_to_all_tasks(tmp_path):
    submission = submitted(tmp_path / "s", stage=Stage.evaluate, count=1)
    (task,) = submission.tasks()
    folder = submission.folder_of(task)
    tasks = task.config["bench"]["tasks"]
    for name in tasks:
        assert [one.state for one in combine_states([submission], {}).values()] == ["cancelled"]
        write_answers(folder, name)
    assert len(tasks) == 4
    assert [one.state for one in combine_states([submission], {}).values()] == ["done"]
