"""The state of each submitted task, combined from SLURM and from the task's own files."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdpo.errors import UserError
from mmdpo.points.status import State, Status, is_stage_done, read_status
from mmdpo.slurm import client as slurm
from mmdpo.slurm.submission import (
    PREPARE,
    TASKS,
    SlurmTask,
    Submission,
    is_point_stage,
    read_submissions,
    user_name,
)

JOB_FAILURES = {
    "OUT_OF_MEMORY": "out of memory on its node; raise cluster.mem=, or lower train.per_device_train_batch_size=",
    "TIMEOUT": "ended at its time limit; raise cluster.timeout_min= or cluster.signal_delay_s=",
    "DEADLINE": "ended at its deadline",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "PREEMPTED": "preempted, and not put back into the queue",
    "CANCELLED": "cancelled",
    "FAILED": "its processes were ended from outside",
}
"""Messages for jobs that ended without a status, by SLURM's state."""

WAITING_STATES = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "CONFIGURING")
"""SLURM's states of a job that has not ended and does not run."""

StateAndDetail = tuple[State, str]


@dataclass(frozen=True)
class TaskState:
    """The state of one task, with a detail such as the reason of a failure; `planned` if it was not submitted."""

    task: SlurmTask
    folder: Path
    submission: Submission
    job: str | None
    state: State
    detail: str
    status: Status

    @property
    def live(self) -> bool:
        """True if its job waits or runs."""
        return self.state in (State.pending, State.running)


def read_task_states(study: Path) -> dict[str, TaskState]:
    """Read the states of a study's tasks, from any machine that can read its folder.

    Args:
        study: The folder of the study.

    Returns:
        The tasks by name. Without a SLURM that answers, their files alone decide.
    """
    found = read_submissions(study)
    try:
        return query_task_states(found) if slurm.is_installed("squeue") else combine_states(found, None)
    except UserError:  # SLURM's commands are installed, but fail
        return combine_states(found, None)


def query_task_states(found: Sequence[Submission]) -> dict[str, TaskState]:
    """Return the states of the submissions' tasks by name. Raises UserError if SLURM cannot be asked."""
    return combine_states(found, query_jobs(found), invisible_submissions(found))


def query_jobs(found: Sequence[Submission]) -> dict[str, slurm.Job]:
    """Return SLURM's jobs of these submissions by id. Raises UserError if SLURM cannot be asked."""
    jobs: dict[str, slurm.Job] = {}
    for user in {submission.user for submission in found}:
        parts = [part for submission in found if submission.user == user for part in submission.parts]
        jobs |= slurm.list_jobs(user, [job for part in parts for job in part.ids() if job])
    return jobs


def invisible_submissions(found: Sequence[Submission]) -> set[str]:
    """Return the names of submissions to another cluster, or by a user whose jobs SLURM keeps private."""
    if not found:
        return set()
    config = slurm.controller_config()
    private = "jobs" in config.get("PrivateData", "") and os.getuid() != 0
    return {
        one.name
        for one in found
        if (private and one.user != user_name()) or (one.cluster_name and one.cluster_name != config.get("ClusterName"))
    }


def combine_states(
    found: Sequence[Submission], jobs: Mapping[str, slurm.Job] | None, invisible: Collection[str] = ()
) -> dict[str, TaskState]:
    """Combine SLURM's jobs with the tasks' files.

    Args:
        found: The submissions of a study, oldest first.
        jobs: SLURM's jobs by id; None if SLURM could not be asked.
        invisible: Names of submissions whose jobs SLURM does not show; the files alone decide for them.

    Returns:
        The tasks by name. A task of several submissions has the state of the last one, unless its job of an
        earlier one has not ended.
    """
    states: dict[str, TaskState] = {}
    for submission in found:
        visible_jobs = None if submission.name in invisible else jobs
        reason = _preparation_failure(submission, visible_jobs)
        ids = [job for part in submission.parts if part.kind == TASKS for job in part.ids()]
        for task, job_id in zip(submission.tasks(), ids, strict=False):
            folder = submission.folder_of(task)
            status = read_status(folder)
            before = states.get(task.name)
            if before is not None and (before.live or job_id is None):
                continue  # its earlier job has not ended, or is the last that sbatch accepted
            finished = is_finished(task, folder, status)
            log = submission.folder / f"{job_id}.log"
            state, detail = combine_state(status, finished, job_id, visible_jobs, log)
            if state is State.cancelled and reason:
                detail = reason
            if state is State.running and visible_jobs is None:
                detail += f"; it last wrote {minutes_since_written(folder):.0f} min ago"
            states[task.name] = TaskState(task, folder, submission, job_id, state, detail, status)
    return states


def combine_state(
    status: Status, finished: bool, job_id: str | None, jobs: Mapping[str, slurm.Job] | None, log: Path
) -> StateAndDetail:
    """Combine the sources on one task.

    Args:
        status: The content of its status.json.
        finished: Whether its result exists.
        job_id: The id of its job; None if sbatch did not accept it.
        jobs: SLURM's jobs by id; None if SLURM could not be asked.
        log: The file in which SLURM writes the job's output.

    Returns:
        The state of the task, and its detail.
    """
    if finished:
        return State.done, ""
    job = jobs.get(job_id) if jobs is not None and job_id is not None else None
    if job is not None and job.live:
        return _state_of_live(status, job)
    earlier = job is not None and status.job_id not in (None, job.id)
    if status.state is State.failed and not earlier:
        return State.failed, status.error or ""
    if job is not None and job.state != "COMPLETED":
        return State.cancelled if job.state == "CANCELLED" else State.failed, _failure(job, log)
    if job_id is None:
        return State.planned, "not submitted"
    if jobs is None:
        return _state_from_files(status)
    if job is not None:
        return State.failed, f"job {job_id} ended without a result"
    return State.failed, f"job {job_id} is gone: SLURM has no record of it, and there is no result"


def is_finished(task: SlurmTask, folder: Path, status: Status | None = None) -> bool:
    """Return whether the result of a task exists.

    Args:
        task: The task; its stage decides which files count.
        folder: The folder of its status and results.
        status: The content of its status.json, if it has been read already.
    """
    if is_point_stage(task.stage):
        return is_stage_done(folder, task.stage, task.config["bench"].get("tasks", ()))
    return (status or read_status(folder)).state is State.done


def _failure(job: slurm.Job, log: Path) -> str:
    """Return a message for a job that ended without a status."""
    if job.reason == "DependencyNeverSatisfied":
        return "the preparation that it waited for failed"
    node = f" ({job.node})" if job.node not in ("", "None assigned") else ""
    if job.state == "FAILED" and not log.exists():
        return (
            f"it could not write {log}{node}: that folder may not be on a disk which the nodes share; type "
            "out=FOLDER with a folder on such a disk"
        )
    return JOB_FAILURES.get(job.state, job.state) + node


def _state_of_live(status: Status, job: slurm.Job) -> StateAndDetail:
    causes = [entry["cause"] for entry in status.interruptions]
    if job.state in WAITING_STATES:
        reason = job.reason if job.reason != "None" else ""
        return State.pending, ", ".join(filter(None, [reason, f"continues after {causes[-1]}" if causes else ""]))
    if status.state is State.failed and status.job_id == job.id:
        return State.failed, status.error or ""
    return State.running, job.node


def _state_from_files(status: Status) -> StateAndDetail:
    """Return the state of a task if SLURM cannot be asked."""
    if status.state is State.running:
        return State.running, f"on {status.host}, according to its files; SLURM cannot be asked here"
    return State.pending, "according to its files; SLURM cannot be asked here"


def _preparation_failure(submission: Submission, jobs: Mapping[str, slurm.Job] | None) -> str:
    """Return why a submission's preparation failed; empty if it did not."""
    part = next((part for part in submission.parts if part.kind == PREPARE), None)
    if part is None:
        return ""
    status = read_status(submission.folder / PREPARE)
    log = submission.folder / f"{part.job}.log"
    state, detail = combine_state(status, status.state is State.done, part.job, jobs, log)
    return f"the preparation failed: {detail}" if state in (State.failed, State.cancelled) else ""


def minutes_since_written(folder: Path) -> float:
    """Return the minutes since a running task last wrote a file, as a sign of life if SLURM cannot be asked."""
    files = [folder / "status.json", folder / "metrics.jsonl", *(folder / "logs").glob("*")]
    return (time.time() - max(file.stat().st_mtime for file in files if file.exists())) / 60
