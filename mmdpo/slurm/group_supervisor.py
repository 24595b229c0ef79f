"""The supervisor of a job that runs several points in turn (cluster.points_per_job). Imports no torch.

    python -m mmdpo.slurm.group_supervisor SUBMISSION KIND FIRST

The processes of one srun run all points that are left, so that libraries and model are loaded once. Statuses, attempts
and causes are those of the single points: a point that fails does not end the others, and a job that is put back into
the queue continues with the point that was interrupted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mmdpo.console import print_line
from mmdpo.points import status
from mmdpo.points.status import State, Status
from mmdpo.slurm import supervisor
from mmdpo.slurm.cancellations import read_cancelled
from mmdpo.slurm.submission import Part, SlurmTask, Submission
from mmdpo.slurm.supervisor import EXIT_BUSY, EXIT_INTERRUPTED
from mmdpo.slurm.task_states import is_finished


def main(arguments: list[str]) -> int:
    """Run one job and return its exit code, which is not zero if one of its points failed."""
    submission, part, index, job = supervisor.begin_job(arguments)
    tasks = submission.group(part, index)
    for task in tasks:
        submission.folder_of(task).mkdir(parents=True, exist_ok=True)
    more = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
    supervisor.rename_job(job, submission, f"{tasks[0].name}{more}")
    return supervise_group(submission, part, index, tasks, job)


def supervise_group(submission: Submission, part: Part, index: int, tasks: list[SlurmTask], job: str) -> int:
    """Start processes until each task of the job is done or has failed, and handle their ends.

    Args:
        submission: The submission that the job belongs to.
        part: The part of the submission that is this job's array.
        index: The job's index in the array.
        tasks: The tasks of the job.
        job: SLURM's id of the job.

    Returns:
        The exit code of the job: 0 if all tasks are done.
    """
    limits = submission.cluster["max_attempts"]
    folders = {task.name: submission.folder_of(task) for task in tasks}
    continued = False
    for folder in folders.values():
        before = status.read_status(folder)
        continued = continued or before.job_id == job
        supervisor.note_last_end(folder, before, job)
    left_out: set[str] = set()  # another run holds them
    busy_tries = supervisor.BUSY_TRIES if continued else 0
    while left := [task for task in tasks if task.name not in left_out and not _is_settled(submission, task, job)]:
        exhausted = [task for task in left if _fail_exhausted(folders[task.name], job, limits)]
        left = [task for task in left if task not in exhausted]
        if not left:
            continue
        before_run = {task.name: status.read_status(folders[task.name]) for task in left}
        log = _log(submission, part, index)
        code = supervisor.run_srun(submission, part, index, log, ",".join(str(tasks.index(task)) for task in left))
        print_line(f"{len(left)} points: exit code {code}")
        open_task = _open_task(left, folders, before_run)
        if open_task is None and code == EXIT_BUSY:
            if busy_tries:
                busy_tries -= 1
                print_line("a point is still locked, perhaps by this job's last run on a node that failed; waiting")
                time.sleep(supervisor.BUSY_SECONDS)
            else:
                left_out |= {task.name for task in left if not _is_settled(submission, task, job)}
            continue
        if open_task is None:
            unsettled = [task for task in left if not _is_settled(submission, task, job)]
            if not unsettled or code == 0:
                break
            begun = len(unsettled) < len(left)
            if begun and code != EXIT_INTERRUPTED and code < 128:
                continue  # a failed point of several processes ends them all; the others are left
            open_task = unsettled[0]
        if not _can_continue(folders[open_task.name], before_run[open_task.name], code, log, job):
            return 1
        if status.read_status(folders[open_task.name]).state is not State.interrupted:
            continue
        if not supervisor.fail_if_exhausted(folders[open_task.name], job, limits):
            return supervisor.requeue_or_fail(folders[open_task.name], job, limits)
    done = [task for task in tasks if is_finished(task, folders[task.name])]
    print_line(f"{len(done)} of {len(tasks)} points are done")
    return 0 if len(done) == len(tasks) else 1


def _is_settled(submission: Submission, task: SlurmTask, job: str) -> bool:
    """Return whether a task is done, has failed in this job, or was cancelled."""
    folder = submission.folder_of(task)
    now = status.read_status(folder)
    failed = now.state is State.failed and now.job_id == job
    return failed or is_finished(task, folder, now) or task.name in read_cancelled(submission)


def _fail_exhausted(folder: Path, job: str, limits: dict[str, int]) -> bool:
    reason = supervisor.attempts_exhausted(folder, job, limits)
    if reason:
        if status.read_status(folder).job_id != job:
            status.start(folder)
        supervisor.fail(folder, reason)
    return bool(reason)


def _log(submission: Submission, part: Part, index: int) -> Path:
    """Return the path of the processes' logs, with %t for the rank; those of points are in their own folders."""
    folder = submission.folder / "logs"
    number = len({file.name.rpartition("-rank-")[0] for file in folder.glob(f"{part.first}_{index}-run-*.log")}) + 1
    return folder / f"{part.first}_{index}-run-{number}-rank-%t.log"


def _open_task(left: list[SlurmTask], folders: dict[str, Path], before: dict[str, Status]) -> SlurmTask | None:
    """Return the task that the processes had begun and not ended."""
    for task in left:
        now = status.read_status(folders[task.name])
        if now.attempts > before[task.name].attempts and now.state in (State.running, State.interrupted):
            return task
    return None


def _can_continue(folder: Path, before: Status, code: int, log: Path, job: str) -> bool:
    """Note the end of processes that ended without a status; False if this run of the job is not the present one."""
    now = status.read_status(folder)
    begun = now.attempts > before.attempts
    if begun and now.state is State.interrupted:
        return True
    if not supervisor.is_current_run(job):
        return False  # the next run of the job asks SLURM for the cause
    if not begun:
        status.start(folder)
    if 0 < code < 128 and code != EXIT_INTERRUPTED:
        last = supervisor.last_log_lines(log)
        status.finish(folder, f"a process ended without a status; the last line of its log: {last}")
    else:
        status.interrupt(folder, supervisor.interruption_cause(code, log, job))
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
