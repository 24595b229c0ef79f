"""The supervisor of a job: starts the task's processes through srun and handles their end. Imports no torch.

    python -m mmdpo.slurm.supervisor SUBMISSION KIND FIRST

It is the sbatch script's own process and outlives the processes of the task. SLURM warns those (SIGUSR2) before
a time limit and ends them (SIGTERM) at preemption. They save a checkpoint and exit with EXIT_INTERRUPTED. Then
SLURM or the supervisor puts the job back into the queue. Processes that were killed continue from their last
checkpoint. `cluster.max_attempts` limits restarts without progress per cause.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.points import status
from mmdpo.points.status import State
from mmdpo.slurm import client as slurm
from mmdpo.slurm.paths import file_pattern
from mmdpo.slurm.submission import TASKS, Part, Submission, read_submission

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: saved, to be continued
EXIT_BUSY = 3  # another run holds the point
BUSY_SECONDS, BUSY_TRIES = 60.0, 10  # wait for the file system to release the locks of a failed node
REQUEUE_SECONDS = 600.0  # wait for SLURM to end or requeue the job before the supervisor requeues it
OUT_OF_MEMORY = re.compile(r"\boom[-_ ]kill|out of memory|exceeded (\w+ )?memory limit", re.IGNORECASE)
"""Messages of the kernel, of slurmstepd with cgroups, and of slurmstepd without them."""

CAUSES_BY_SLURM_STATE = {
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node_failure",
    "REQUEUED": "requeued",
    "OUT_OF_MEMORY": "out_of_memory",
    "TIMEOUT": "time_limit",
}
ADVICE = {
    "time_limit": "raise cluster.timeout_min=, or lower train.save_steps=",
    "out_of_memory": "raise cluster.mem=",
    "killed": "see the last lines of its log for the reason",
}


def main(arguments: list[str]) -> int:
    """Run one job and return its exit code, which is not zero if its task failed."""
    submission, part, index, job = begin_job(arguments)
    task = submission.task(part, index) if part.kind == TASKS else None
    folder_of_task = submission.folder / part.kind if task is None else submission.folder_of(task)
    folder_of_task.mkdir(parents=True, exist_ok=True)
    rename_job(job, submission, task.name if task else part.kind)
    return supervise(submission, part, index, folder_of_task, job)


def begin_job(arguments: Sequence[str]) -> tuple[Submission, Part, int, str]:
    """Ignore SLURM's signals, and note the job's id beside its submission.

    Args:
        arguments: The submission's folder, the kind of the part, and the first of its lines.

    Returns:
        The submission, the part, the job's index in its array, and the job's id.
    """
    folder, kind, first = arguments
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the processes of the task handle them
        signal.signal(number, lambda *_: None)
    submission = read_submission(Path(folder))
    part = next(part for part in submission.parts if (part.kind, part.first) == (kind, int(first)))
    job = status.job_id() or ""
    id_file = submission.folder / f"{kind}-{first}.job"
    if not id_file.exists():
        id_file.write_text(job.partition("_")[0], encoding="utf-8")
    return submission, part, int(os.environ.get("SLURM_ARRAY_TASK_ID", 0)), job


def rename_job(job: str, submission: Submission, name: str) -> None:
    """Name the job after its task in squeue.

    Args:
        job: SLURM's id of the job.
        submission: The submission that the job belongs to.
        name: The name of its task, or the kind of a job for several tasks.
    """
    try:
        slurm.rename_job(job, f"mmdpo:{submission.study.name}:{name}")
    except UserError as error:
        print_line(f"the job could not be renamed: {error}")


def supervise(submission: Submission, part: Part, index: int, folder: Path, job: str) -> int:
    """Start the processes of a task and handle their end.

    Args:
        submission: The submission that the job belongs to.
        part: The part of the submission that is this job's array.
        index: The job's index in the array.
        folder: The folder of the task's status and logs.
        job: SLURM's id of the job.

    Returns:
        The exit code of the job: 0 if the task is done.
    """
    limits = submission.cluster["max_attempts"]
    before = status.read_status(folder)
    note_last_end(folder, before, job)
    if reason := attempts_exhausted(folder, job, limits):
        return fail(folder, reason)
    log = folder / "logs" / f"attempt-{before.attempts + 1}-rank-%t.log"
    code = run_srun(submission, part, index, log)
    for _ in range(BUSY_TRIES if before.job_id == job else 0):
        if code != EXIT_BUSY:
            break
        print_line(f"{folder.name} is still locked, perhaps by this job's last run on a node that failed; waiting")
        time.sleep(BUSY_SECONDS)
        code = run_srun(submission, part, index, log)
    after = status.read_status(folder)
    print_line(f"{folder.name}: exit code {code}, {after.state.value}{f': {after.error}' if after.error else ''}")
    if code == EXIT_BUSY:
        return 1  # the status belongs to the other run
    begun = after.attempts > before.attempts
    if begun and after.state is State.failed:
        return 1
    if after.state is State.done or (code == 0 and after.state is not State.running):
        return 0
    if not begun or after.state is not State.interrupted:  # the processes ended without a status
        if not is_current_run(job):
            return 1  # the next run of the job asks SLURM for the cause
        if not begun:
            status.start(folder)
        if 0 < code < 128 and code != EXIT_INTERRUPTED:
            status.finish(folder, f"a process ended without a status; the last line of its log: {last_log_lines(log)}")
            return 1
        status.interrupt(folder, interruption_cause(code, log, job))
    return requeue_or_fail(folder, job, limits)


def note_last_end(folder: Path, before: status.Status, job: str) -> None:
    """Note why the last run of this job ended, if the job was put back into the queue.

    Args:
        folder: The folder of the task's status.
        before: The status of the task.
        job: SLURM's id of the job.
    """
    if before.job_id != job:
        return
    if before.state is State.running:  # the processes ended together with their supervisor
        status.interrupt(folder, last_end_reason(job, "killed"))
    elif before.state is State.interrupted and before.interruptions[-1]["cause"] == "terminated":
        status.relabel(folder, last_end_reason(job, "requeued"))


def fail(folder: Path, reason: str) -> int:
    """Note that a task failed, print the reason, and return the job's exit code."""
    status.finish(folder, reason)
    print_line(reason)
    return 1


def interruption_cause(code: int, log: Path, job: str) -> str:
    """Determine what ended processes that wrote no status.

    Args:
        code: The highest of their exit codes.
        log: The path of their logs, with %t for the rank.
        job: SLURM's id of the job.

    Returns:
        One of the keys of `cluster.max_attempts`.
    """
    if OUT_OF_MEMORY.search(last_log_lines(log, 50)):
        return "out_of_memory"
    if is_preempted(job):
        return "preempted"
    return "time_limit" if code in (EXIT_INTERRUPTED, 128 + signal.SIGUSR2) else "killed"


def run_srun(submission: Submission, part: Part, index: int, log: Path, lines: str | None = None) -> int:
    """Run the processes of a job, one per GPU.

    Args:
        submission: The submission that the job belongs to.
        part: The part of the submission that is this job's array.
        index: The job's index in the array.
        log: The path of their logs, with %t for the rank.
        lines: The tasks of the job to run, by their numbers in it, such as 0,2; None for a job with one.

    Returns:
        The exit code; 128 + N after signal N.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    worker = [submission.python, "-u", "-P", "-m", "mmdpo.slurm.worker"]
    arguments = [str(submission.folder), part.kind, str(part.first), str(index), *([lines] if lines else [])]
    options = [
        f"--output={file_pattern(log.parent)}/{log.name}",
        "--unbuffered",
        "--kill-on-bad-exit=1",
        "--export=ALL",
    ]
    options.append("--wait=0")  # no limit: the first process evaluates after the others have ended
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):  # srun does not inherit it from sbatch
        options.append(f"--cpus-per-task={cpus}")
    command = ["srun", *options, *worker, *arguments]
    print_line(shlex.join(command))
    code = subprocess.run(command, env={**os.environ, "OMP_WAIT_POLICY": "passive"}).returncode
    return code if code >= 0 else 128 - code


def requeue_or_fail(folder: Path, job: str, limits: dict[str, int]) -> int:
    """Put an interrupted job back into the queue, or fail its task if its attempts are exhausted.

    Args:
        folder: The folder of the task's status.
        job: SLURM's id of the job.
        limits: `cluster.max_attempts`, by cause.

    Returns:
        The exit code of the job: 1.
    """
    if fail_if_exhausted(folder, job, limits):
        return 1
    cause = status.read_status(folder).interruptions[-1]["cause"]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # no process is left to wait for
    if cause in ("terminated", "preempted"):  # SLURM ends the job after scancel and requeues it otherwise
        time.sleep(REQUEUE_SECONDS)
    if not is_current_run(job):
        return 1
    print_line(f"{job}: {cause}; back into the queue")
    try:
        slurm.requeue_job(job)
    except UserError as error:
        status.finish(folder, f"ended by {cause}, and SLURM does not put it back into the queue: {error}")
        return 1
    time.sleep(REQUEUE_SECONDS)
    return 1


def fail_if_exhausted(folder: Path, job: str, limits: dict[str, int]) -> bool:
    """Fail an interrupted task if its attempts are exhausted.

    Args:
        folder: The folder of the task's status.
        job: SLURM's id of the job.
        limits: `cluster.max_attempts`, by cause.

    Returns:
        Whether it failed.
    """
    cause = status.read_status(folder).interruptions[-1]["cause"]
    if cause == "terminated" and is_preempted(job):
        status.relabel(folder, "preempted")
    if reason := attempts_exhausted(folder, job, limits):
        fail(folder, reason)
    return bool(reason)


def is_preempted(job: str) -> bool:
    """Return whether SLURM preempts the present run of a job."""
    fields = slurm.show_job(job)
    since = fields.get("PreemptTime", "None")
    return since[:1].isdigit() and since >= fields.get("StartTime", "")


def is_current_run(job: str) -> bool:
    """Return whether this process belongs to the job's present run; some clusters do not end earlier ones."""
    try:
        fields = slurm.show_job(job)
    except UserError:  # the job has ended, and SLURM has no record of it
        return False
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    return fields.get("JobState") == "RUNNING" and fields.get("Restarts", "0") == restarts


def last_end_reason(job: str, otherwise: str) -> str:
    """Return the cause of the last end of a job from accounting; `otherwise` if it has none."""
    try:
        lines = slurm.run_command("sacct", "-X", "-D", "--noheader", "--parsable2", "--format=State", "-j", job)
    except UserError:
        return otherwise
    past = [CAUSES_BY_SLURM_STATE[state] for state in lines.split() if state in CAUSES_BY_SLURM_STATE]
    return past[-1] if past else otherwise


def attempts_exhausted(folder: Path, job: str, limits: dict[str, int]) -> str | None:
    """Return why a task must not start again.

    Args:
        folder: The folder of the task's status.
        job: SLURM's id of the job; interruptions of earlier submissions do not count.
        limits: `cluster.max_attempts`, by cause.

    Returns:
        A message that names the setting; None if the task may start again.
    """
    causes = causes_without_progress(status.read_status(folder).interruptions, job)
    for cause in dict.fromkeys(causes):
        limit = limits.get(cause)
        if limit is not None and causes.count(cause) >= limit:
            advice = f"; {ADVICE[cause]}" if cause in ADVICE else ""
            times = f"without progress ended {causes.count(cause)} times by {cause}"
            return f"{times} (cluster.max_attempts.{cause}={limit}){advice}"
    return None


def causes_without_progress(entries: Sequence[dict[str, Any]], job: str) -> list[str]:
    """Return the causes by which a job's attempts ended since the last one that made progress.

    Args:
        entries: The interruptions of the task, oldest first. Progress is work that is saved for the first time, such
            as a newer checkpoint.
        job: SLURM's id of the job; interruptions of earlier submissions do not count.

    Returns:
        The causes, oldest first.
    """
    causes: list[str] = []
    saved: dict[str, int] = {}
    for entry in entries:
        now = entry.get("saved") or {}  # entries of an earlier version have none
        progress = any(amount > saved.get(kind, 0) for kind, amount in now.items())
        saved |= {kind: max(amount, saved.get(kind, 0)) for kind, amount in now.items()}
        if progress:
            causes.clear()
        elif entry["job_id"] == job:
            causes.append(entry["cause"])
    return causes


def last_log_lines(log: Path, count: int = 1) -> str:
    """Return the last lines of the log that was written last, of all ranks."""
    files = sorted(log.parent.glob(log.name.replace("%t", "*")), key=lambda file: file.stat().st_mtime)
    if not files:
        return "no log"
    return "\n".join(files[-1].read_text(encoding="utf-8", errors="replace").splitlines()[-count:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
