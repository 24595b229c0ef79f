"""What became of submitted tasks: SLURM's word and the files', as one state a task."""

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
    OF_POINTS,
    PREPARE,
    TASKS,
    Submission,
    Task,
    own_name,
    submissions,
)

ENDED_BADLY = {
    "OUT_OF_MEMORY": "out of memory on its node; raise cluster.mem=, or lower train.per_device_train_batch_size=",
    "TIMEOUT": "ended at its time limit; raise cluster.timeout_min= or cluster.signal_delay_s=",
    "DEADLINE": "ended at its deadline",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "PREEMPTED": "preempted, and not put back into the queue",
    "CANCELLED": "cancelled",
    "FAILED": "its processes were ended from outside",
}
"""SLURM's words for jobs that left no word of their own."""


@dataclass(frozen=True)
class Seen:
    """One task as it stands: `pending`, `running`, `done`, `failed`, `cancelled` or `absent`, and why."""

    task: Task
    folder: Path
    submission: Submission
    job: str | None
    state: str
    detail: str
    status: Status

    @property
    def live(self) -> bool:
        """Whether its job waits or runs."""
        return self.state in ("pending", "running")


def view(
    found: Sequence[Submission], known: Mapping[str, slurm.Job] | None, hidden: Collection[str] = ()
) -> dict[str, Seen]:
    """The tasks of a study's submissions by name, each as of its last one.

    `known` are the jobs that SLURM knows; None where it could not be asked: then, as for the submissions
    whose jobs are `hidden`, the files alone are believed.
    """
    tasks: dict[str, Seen] = {}
    for submission in found:
        jobs = None if submission.name in hidden else known
        reason = _failed_preparation(submission, jobs)
        ids = [job for part in submission.parts if part.kind == TASKS for job in part.ids()]
        for task, job_id in zip(submission.tasks(), ids, strict=False):
            folder = submission.folder_of(task)
            status = read_status(folder)
            before = tasks.get(task.name)
            if before is not None and (before.live or job_id is None):
                continue  # its job of an earlier submission is at it still, or was the last that sbatch got
            log = submission.folder / f"{job_id}.log"
            state, detail = merged(status, _finished(task, folder, status), job_id, jobs, log)
            if state == "cancelled" and reason:
                detail = reason
            if state == "running" and jobs is None:
                detail += f"; it last wrote {minutes_since_written(folder):.0f} min ago"
            tasks[task.name] = Seen(task, folder, submission, job_id, state, detail, status)
    return tasks


def merged(
    status: Status, finished: bool, job_id: str | None, jobs: Mapping[str, slurm.Job] | None, log: Path
) -> tuple[str, str]:
    """State and detail of one task from its status.json, whether its result is there, its job and its log."""
    if finished:
        return "done", ""
    job = jobs.get(job_id) if jobs is not None and job_id is not None else None
    if job is not None and job.live:
        return _of_live(status, job)
    earlier = job is not None and status.job_id not in (None, job.id)
    if status.state is State.failed and not earlier:
        return "failed", status.error or ""
    if job is not None and job.state != "COMPLETED":
        return "cancelled" if job.state == "CANCELLED" else "failed", _why(job, log)
    if job_id is None:
        return "absent", "not submitted"
    if jobs is None:
        return _of_files(status)
    if job is not None:
        return "failed", f"job {job_id} ended without a result"
    return "failed", f"job {job_id} is gone: SLURM knows it no more, and it left no result"


def _why(job: slurm.Job, log: Path) -> str:
    """Why a job ended that left no word of its own."""
    if job.reason == "DependencyNeverSatisfied":
        return "the preparation that it waited for failed"
    where = f" ({job.node})" if job.node not in ("", "None assigned") else ""
    if job.state == "FAILED" and not log.exists():
        return (
            f"it could not write {log}{where}: that folder may not be on a disk which the nodes share; type "
            "out=FOLDER on one that is"
        )
    return ENDED_BADLY.get(job.state, job.state) + where


def _of_live(status: Status, job: slurm.Job) -> tuple[str, str]:
    causes = [entry["cause"] for entry in status.interruptions]
    again = f"goes on after {causes[-1]}" if causes else ""
    if job.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "CONFIGURING"):
        return "pending", ", ".join(filter(None, [job.reason if job.reason != "None" else "", again]))
    if status.state is State.failed and status.job_id == job.id:
        return "failed", status.error or ""
    return "running", job.node


def _of_files(status: Status) -> tuple[str, str]:
    """Where SLURM cannot be asked."""
    if status.state is State.running:
        return "running", f"on {status.host}, by its files; SLURM cannot be asked here"
    return "pending", "by its files; SLURM cannot be asked here"


def _finished(task: Task, folder: Path, status: Status) -> bool:
    if task.stage in OF_POINTS:
        return is_stage_done(folder, task.stage, task.config["bench"].get("tasks", ()))
    return status.state is State.done


def _failed_preparation(submission: Submission, jobs: Mapping[str, slurm.Job] | None) -> str:
    """Why a submission's preparation failed; empty where it did not."""
    part = next((part for part in submission.parts if part.kind == PREPARE), None)
    if part is None:
        return ""
    status = read_status(submission.folder / PREPARE)
    log = submission.folder / f"{part.job}.log"
    state, detail = merged(status, status.state is State.done, part.job, jobs, log)
    return f"the preparation failed: {detail}" if state in ("failed", "cancelled") else ""


def known_jobs(found: Sequence[Submission]) -> dict[str, slurm.Job]:
    """What SLURM knows of these submissions' jobs. Raises UserError where it cannot be asked."""
    jobs: dict[str, slurm.Job] = {}
    for user in {submission.user for submission in found}:
        parts = [part for submission in found if submission.user == user for part in submission.parts]
        jobs |= slurm.jobs(user, [job for part in parts for job in part.ids() if job])
    return jobs


def hidden(found: Sequence[Submission]) -> set[str]:
    """The submissions whose jobs SLURM does not show here: another cluster's, or kept private from us."""
    if not found:
        return set()
    settings = slurm.settings()
    private = "jobs" in settings.get("PrivateData", "") and os.getuid() != 0
    return {
        one.name
        for one in found
        if (private and one.user != own_name())
        or (one.cluster_name and one.cluster_name != settings.get("ClusterName"))
    }


def seen(found: Sequence[Submission]) -> dict[str, Seen]:
    """The tasks of a study's submissions by SLURM and files. Raises UserError where SLURM cannot be asked."""
    return view(found, known_jobs(found), hidden(found))


def look(study: Path) -> dict[str, Seen]:
    """The tasks of a study as they stand, from any machine that sees its folder."""
    found = submissions(study)
    try:
        return seen(found) if slurm.is_here("squeue") else view(found, None)
    except UserError:  # whatever keeps its commands from answering here
        return view(found, None)


def minutes_since_written(folder: Path) -> float:
    """Since a running task's processes last wrote something: whether it lives, where SLURM cannot say so."""
    files = [folder / "status.json", folder / "metrics.jsonl", *(folder / "logs").glob("*")]
    return (time.time() - max(file.stat().st_mtime for file in files if file.exists())) / 60
