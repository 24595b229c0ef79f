"""The state of each submitted task, combined from SLURM and from the task's own files."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdpo.config.choices import RULES, Stage
from mmdpo.config.judging_place import is_judged_apart
from mmdpo.errors import UserError
from mmdpo.points.results import has_answers, read_training
from mmdpo.points.rungs import read_rung, rung_folder, rung_tasks
from mmdpo.points.status import State, Status, is_done, is_share_done, is_stage_done, read_status
from mmdpo.slurm import client as slurm
from mmdpo.slurm.cancellations import read_cancelled
from mmdpo.slurm.job_ids import fill_job_ids
from mmdpo.slurm.submission import (
    DECIDE,
    JUDGE,
    PREPARE,
    TASKS,
    SlurmTask,
    Submission,
    is_point_stage,
    preparations,
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

HELD_STATES = ("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
SUSPENDED_STATES = ("SUSPENDED", "STOPPED")
WAITING_STATES = ("PENDING", "REQUEUED", "REQUEUE_FED", "CONFIGURING", *HELD_STATES, *SUSPENDED_STATES)
"""SLURM's states of a job that has not ended and does not run."""

NEVER_STARTS = re.compile(
    "BadConstraints|DependencyNeverSatisfied|Invalid(Account|QOS)|(Account|QOS)NotAllowed|Partition(NodeLimit|TimeLimit)"
    r"|(Assoc|QOS)Max\w+Per(Job|Node)(Limit)?$"
)
"""SLURM's reasons of a job that waits until its request, or the site's limits, are changed."""

STUCK = re.compile("type scontrol|does not start")
"""The details of jobs that wait until the user does something."""

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

    @property
    def stuck(self) -> bool:
        """True if its job waits until the user does what the detail says."""
        return self.state is State.pending and bool(STUCK.search(self.detail))


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
    """Return SLURM's jobs of these submissions by id, and set ids that an interrupted command did not note.

    Raises UserError if SLURM cannot be asked.
    """
    jobs: dict[str, slurm.Job] = {}
    for user in {submission.user for submission in found}:
        own = [submission for submission in found if submission.user == user]
        parts = [part for submission in own for part in submission.parts]
        jobs |= slurm.list_jobs(user, [job for part in parts for job in part.ids() if job])
        for submission in own:
            fill_job_ids(submission, jobs)
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
    judged_by, deciding = _judging_jobs(found, jobs or {}), _live_jobs(found, jobs or {}, DECIDE)
    for submission in found:
        visible_jobs = None if submission.name in invisible else jobs
        preparation, reason = _preparation(submission, visible_jobs)
        cancelled = read_cancelled(submission)
        parts = [part for part in submission.parts if part.kind == TASKS]
        ids = [(job, part.size > 1) for part in parts for job in part.ids()]
        for task, (job_id, grouped) in zip(submission.tasks(), ids, strict=False):
            folder = submission.folder_of(task)
            status = read_status(folder)
            before = states.get(task.name)
            if before is not None and (before.live or job_id is None):
                continue  # its earlier job has not ended, or is the last that sbatch accepted
            finished = is_finished(task, folder, status)
            log = submission.folder / f"{job_id}.log"
            by = cancelled.get(task.name) or cancelled.get(job_id or "", "")
            state, detail = combine_state(status, finished, job_id, visible_jobs, log, by)
            if grouped and state in (State.running, State.pending):
                state, detail = _state_in_group(status, job_id, state, detail, cancelled.get(task.name, ""))
            if state is State.done and task.rung is not None and not is_done(folder):
                state, detail = _state_at_rung(status, task.rung, deciding.get(submission.name))
            elif state is State.done and task.stage is Stage.experiment and not is_done(folder):
                own = (visible_jobs or {}).get(job_id or "")
                if own is not None and own.live:  # it ends in a moment
                    state, detail = _state_of_live(status, own)
                else:
                    state, detail = _state_of_answered(judged_by.get(task.name))
            if state is State.cancelled and preparation is State.failed and job_id not in cancelled:
                detail = f"the preparation failed: {reason}"
            if state is State.pending and detail == "Dependency" and reason:
                detail = reason
            if state is State.running and visible_jobs is None:
                detail += f"; it last wrote {minutes_since_written(folder):.0f} min ago"
            states[task.name] = TaskState(task, folder, submission, job_id, state, detail, status)
    return states


def _state_in_group(status: Status, job_id: str | None, state: State, detail: str, cancelled: str) -> StateAndDetail:
    """Return the state of a task whose job, which has not ended, runs others, too.

    Args:
        status: The content of its status.json.
        job_id: The id of the job.
        state: The state of the job.
        detail: The detail of the state.
        cancelled: Who cancelled the task and when, if that was recorded.
    """
    begun = status.job_id == job_id
    if cancelled and not (begun and status.state is State.running):
        return State.cancelled, cancelled
    if status.state is State.failed and begun:
        return State.failed, status.error or ""
    if state is State.running and not (begun and status.state is State.running):
        return State.pending, f"waits for other points of job {job_id} on {detail}"
    return state, detail


def _judging_jobs(found: Sequence[Submission], jobs: Mapping[str, slurm.Job]) -> dict[str, str]:
    """Return the live job that will judge a task, by the task's name (cluster.judge=job)."""
    live = _live_jobs(found, jobs, JUDGE)
    return {task.name: live[one.name] for one in found if one.name in live for task in one.tasks(JUDGE)}


def _live_jobs(found: Sequence[Submission], jobs: Mapping[str, slurm.Job], kind: str) -> dict[str, str]:
    """Return the jobs of one kind that have not ended, by the names of their submissions."""
    parts = [(submission, part.job) for submission in found for part in submission.parts if part.kind == kind]
    return {submission.name: job for submission, job in parts if job and job in jobs and jobs[job].live}


def _state_at_rung(status: Status, rung: float, job: str | None) -> StateAndDetail:
    """Return the state of a point that is measured at a rung."""
    if status.pruned:
        return State.pruned, status.pruned
    return State.planned, f"measured at rung {rung:g}" + (f"; job {job} decides" if job else "")


def _state_of_answered(job: str | None) -> StateAndDetail:
    """Return the state of a point with answers that a service will judge."""
    if job:
        return State.pending, f"answered; waits to be judged by job {job}"
    return State.answered, "waits to be judged"


def combine_state(
    status: Status,
    finished: bool,
    job_id: str | None,
    jobs: Mapping[str, slurm.Job] | None,
    log: Path,
    cancelled: str = "",
) -> StateAndDetail:
    """Combine the sources on one task.

    Args:
        status: The content of its status.json.
        finished: Whether its result exists.
        job_id: The id of its job; None if sbatch did not accept it.
        jobs: SLURM's jobs by id; None if SLURM could not be asked.
        log: The file in which SLURM writes the job's output.
        cancelled: Who cancelled its job and when, if that was recorded.

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
    if cancelled:
        return State.cancelled, cancelled
    if job is not None and job.state != "COMPLETED":
        return State.cancelled if job.state == "CANCELLED" else State.failed, _failure(job, log)
    if job_id is None:
        return State.planned, "not submitted"
    if jobs is None:
        return _state_from_files(status)
    if job is not None:
        return State.failed, f"job {job_id} ended without a result"
    if status.job_id != job_id and not log.exists():
        return State.cancelled, f"job {job_id} left SLURM's queue before it started: it was cancelled"
    return State.failed, f"job {job_id} is gone: SLURM has no record of it, and there is no result"


def is_finished(task: SlurmTask, folder: Path, status: Status | None = None) -> bool:
    """Return whether the result of a task exists.

    Args:
        task: The task; its stage decides which files count.
        folder: The folder of its status and results.
        status: The content of its status.json, if it has been read already.
    """
    if task.rung is not None:
        return is_rung_done(task, folder)
    if shard := task.shard:
        return is_share_done(folder.parent.parent, shard, task.config["bench"].get("tasks", ()))
    if is_point_stage(task.stage):
        stage = Stage.evaluate if task.stage is Stage.experiment and is_task_judged_apart(task) else task.stage
        return is_stage_done(folder, stage, task.config["bench"].get("tasks", ()))
    return (status or read_status(folder)).state is State.done


def is_rung_done(task: SlurmTask, folder: Path) -> bool:
    """Return whether a task to a rung is done: it is measured there, answered for a service, or trained to the end.

    Args:
        task: The task.
        folder: The folder of the point.
    """
    assert task.rung is not None
    if read_rung(folder, task.rung) is not None or read_training(folder) is not None:
        return True
    tasks = rung_tasks(str(task.config["objective"]), task.config["bench"].get("tasks", ()))
    return is_task_judged_apart(task) and has_answers(rung_folder(folder, task.rung), tasks)


def is_task_judged_apart(task: SlurmTask) -> bool:
    """Return whether the job of a task ends with answers."""
    judge = task.config["bench"].get("judge")
    client = judge.get("client", "") if isinstance(judge, dict) else judge  # a name, in submissions before version 0.2
    return is_judged_apart(str(client or RULES.names()[0]), str(task.config["cluster"].get("runner")))


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
    if job.state in WAITING_STATES:
        return State.pending, _waiting_reason(status, job)
    if status.state is State.failed and status.job_id == job.id:
        return State.failed, status.error or ""
    if status.job_id == job.id and status.waiting:
        return State.running, f"{job.node}, waiting for {status.waiting}"
    return State.running, job.node


def _waiting_reason(status: Status, job: slurm.Job) -> str:
    """Return what a job waits for, with the command to type if it would wait without end."""
    reason = job.reason if job.reason != "None" else ""
    if job.state in SUSPENDED_STATES:
        return f"suspended on {job.node}; if it is not resumed, type scontrol resume {job.id}"
    if job.state in HELD_STATES or "held" in reason.lower():
        return f"held ({reason or job.state}); type scontrol release {job.id}"
    if NEVER_STARTS.match(reason):
        return f"does not start ({reason}); cancel it, and retry with other settings of cluster."
    causes = [entry["cause"] for entry in status.interruptions if entry.get("job_id", job.id) == job.id]
    return ", ".join(filter(None, [reason, f"continues after {causes[-1]}" if causes else ""]))


def _state_from_files(status: Status) -> StateAndDetail:
    """Return the state of a task if SLURM cannot be asked."""
    if status.state is State.running:
        return State.running, f"on {status.host}, according to its files; SLURM cannot be asked here"
    return State.pending, "according to its files; SLURM cannot be asked here"


def _preparation(submission: Submission, jobs: Mapping[str, slurm.Job] | None) -> StateAndDetail:
    """Return the state of the preparations that a submission's points wait for, with the reason of a failure.

    The state is `done` if there are none.
    """
    for owner, part in preparations(submission):
        folder = owner.folder / PREPARE
        status = read_status(folder)
        log = owner.folder / f"{part.job}.log"
        cancelled = read_cancelled(owner).get(part.job or "", "")
        state, detail = combine_state(status, status.state is State.done, part.job, jobs, log, cancelled)
        if state in (State.failed, State.cancelled):
            return State.failed, detail
        if state in (State.pending, State.running):
            place = f"running on {detail}" if state is State.running else detail or "pending"
            return state, f"waits for its preparation, job {part.job}: {place}"
    return State.done, ""


def minutes_since_written(folder: Path) -> float:
    """Return the minutes since a running task last wrote a file, as a sign of life if SLURM cannot be asked."""
    files = [folder / "status.json", folder / "metrics.jsonl", *(folder / "logs").glob("*")]
    return (time.time() - max(file.stat().st_mtime for file in files if file.exists())) / 60
