"""The supervisor of a job: the sbatch script's own process, which starts the task's processes through srun,
outlives them, and says how they ended. Imports no torch.

    python -m mmdpo.slurm.supervisor SUBMISSION KIND FIRST

SLURM warns the processes (SIGUSR2) before a time limit and ends them (SIGTERM) at preemption. They save
and leave with INTERRUPTED; the job then goes back into the queue, by SLURM's hand or by this one's.
Processes that were killed go on from their last checkpoint, as often as `cluster.max_attempts` allows it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.points import status
from mmdpo.points.status import State
from mmdpo.slurm import client as slurm
from mmdpo.slurm.submission import PREPARE, Part, Submission, Task, read

INTERRUPTED = 75  # EX_TEMPFAIL: saved, to go on
BUSY = 3  # another run is at the point
BUSY_SECONDS, BUSY_TRIES = 60.0, 10  # until the file system lets go of what a failed node had locked
REQUEUE_SECONDS = 600.0  # until a job that SLURM should have ended is put back into the queue from here
OUT_OF_MEMORY = re.compile(r"\boom[-_ ]kill|out of memory|exceeded (\w+ )?memory limit", re.IGNORECASE)
"""What the kernel, slurmstepd with cgroups, and slurmstepd without them say."""

SLURM_STATES = {
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node_failure",
    "REQUEUED": "requeued",
    "OUT_OF_MEMORY": "out_of_memory",
    "TIMEOUT": "time_limit",
}
ADVICE = {
    "time_limit": "raise cluster.timeout_min=, or max_attempts if it moves on each time",
    "out_of_memory": "raise cluster.mem=",
    "killed": "the log's last lines may say by what",
}


def main(arguments: list[str]) -> int:
    """Run one job; returns its exit code, non-zero where its task failed."""
    folder, kind, first = arguments
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the processes below answer them; this one stays
        signal.signal(number, lambda *_: None)
    submission = read(Path(folder))
    part = next(part for part in submission.parts if (part.kind, part.first) == (kind, int(first)))
    job = status.job_id() or ""
    note = submission.folder / f"{kind}-{first}.job"
    if not note.exists():
        note.write_text(job.partition("_")[0], encoding="utf-8")
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", 0))
    task = None if kind == PREPARE else submission.task(part, index)
    home = submission.folder / PREPARE if task is None else submission.folder_of(task)
    home.mkdir(parents=True, exist_ok=True)
    name(job, submission, task)
    return supervise(submission, part, index, home, job)


def name(job: str, submission: Submission, task: Task | None) -> None:
    """Let squeue show what the job is at."""
    try:
        slurm.rename(job, f"mmdpo:{submission.study.name}:{task.name if task else PREPARE}")
    except UserError as error:
        print_line(f"the job keeps its first name: {error}")


def supervise(submission: Submission, part: Part, index: int, home: Path, job: str) -> int:
    """Start the processes and see to what ended them."""
    limits = submission.cluster["max_attempts"]
    before = status.read_status(home)
    if before.job_id == job:  # it was put back into the queue
        if before.state is State.running:  # ended together with its supervisor
            status.interrupt(home, ended_by(job, "killed"))
        elif before.state is State.interrupted and before.interruptions[-1]["cause"] == "terminated":
            status.relabel(home, ended_by(job, "requeued"))
    if reason := too_often(home, job, limits):
        status.finish(home, reason)
        print_line(reason)
        return 1
    log = home / "logs" / f"attempt-{before.attempts + 1}-rank-%t.log"
    code = srun(submission, part, index, log)
    for _ in range(BUSY_TRIES if before.job_id == job else 0):
        if code != BUSY:
            break
        print_line(f"{home.name} is still held, perhaps by this job's last run on a node that failed; waiting")
        time.sleep(BUSY_SECONDS)
        code = srun(submission, part, index, log)
    after = status.read_status(home)
    print_line(f"{home.name}: exit code {code}, {after.state.value}{f': {after.error}' if after.error else ''}")
    if code == BUSY:
        return 1  # its status is the other run's
    begun = after.attempts > before.attempts
    if begun and after.state is State.failed:
        return 1
    if after.state is State.done or (code == 0 and after.state is not State.running):
        return 0
    if not begun or after.state is not State.interrupted:  # the processes could not say what it was
        if not is_current(job):
            return 1  # the next run of the job asks SLURM
        if not begun:
            status.start(home)
        if 0 < code < 128 and code != INTERRUPTED:
            status.finish(home, f"a process failed before it could say why: {tail(log)}")
            return 1
        status.interrupt(home, cause_of(code, log, job))
    return again(home, job, limits)


def cause_of(code: int, log: Path, job: str) -> str:
    """What ended processes that could not say so; `code` is the highest of theirs."""
    if OUT_OF_MEMORY.search(tail(log, 50)):
        return "out_of_memory"
    if preempted(job):
        return "preempted"
    return "time_limit" if code in (INTERRUPTED, 128 + signal.SIGUSR2) else "killed"


def srun(submission: Submission, part: Part, index: int, log: Path) -> int:
    """Run the processes of the task, one a GPU; returns the exit code, 128 + N after signal N."""
    log.parent.mkdir(parents=True, exist_ok=True)
    rank = [submission.python, "-u", "-P", "-m", "mmdpo.slurm.worker"]
    place = [str(submission.folder), part.kind, str(part.first), str(index)]
    options = [f"--output={log}", "--unbuffered", "--kill-on-bad-exit=1", "--export=ALL"]
    options.append("--wait=0")  # for ever: the first process measures after the others have left
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):  # srun does not take it from sbatch
        options.append(f"--cpus-per-task={cpus}")
    command = ["srun", *options, *rank, *place]
    print_line(shlex.join(command))
    code = subprocess.run(command, env={**os.environ, "OMP_WAIT_POLICY": "passive"}).returncode
    return code if code >= 0 else 128 - code


def again(home: Path, job: str, limits: dict[str, int]) -> int:
    """Go back into the queue after an interruption, or fail where it has been often enough."""
    cause = status.read_status(home).interruptions[-1]["cause"]
    if cause == "terminated" and preempted(job):
        cause = "preempted"
        status.relabel(home, cause)
    if reason := too_often(home, job, limits):
        status.finish(home, reason)
        print_line(reason)
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to outlive
    if cause in ("terminated", "preempted"):  # by scancel, or to be put back into the queue: SLURM knows
        time.sleep(REQUEUE_SECONDS)
    if not is_current(job):
        return 1
    print_line(f"{job}: {cause}; back into the queue")
    try:
        slurm.requeue(job)
    except UserError as error:
        status.finish(home, f"ended by {cause}, and SLURM does not take it back into the queue: {error}")
        return 1
    time.sleep(REQUEUE_SECONDS)
    return 1


def preempted(job: str) -> bool:
    """Whether SLURM wants the node of the job's present run for another job."""
    shown = slurm.shown(job)
    since = shown.get("PreemptTime", "None")
    return since[:1].isdigit() and since >= shown.get("StartTime", "")


def is_current(job: str) -> bool:
    """Whether this is still the job's run: some clusters leave processes of an earlier one behind."""
    try:
        shown = slurm.shown(job)
    except UserError:  # ended, and forgotten
        return False
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    return shown.get("JobState") == "RUNNING" and shown.get("Restarts", "0") == restarts


def ended_by(job: str, otherwise: str) -> str:
    """What ended the job's last run, as accounting remembers it; `otherwise` where it does not."""
    try:
        lines = slurm.run("sacct", "-X", "-D", "--noheader", "--parsable2", "--format=State", "-j", job)
    except UserError:
        return otherwise
    past = [SLURM_STATES[state] for state in lines.split() if state in SLURM_STATES]
    return past[-1] if past else otherwise


def too_often(home: Path, job: str, limits: dict[str, int]) -> str | None:
    """Why the task must not start again; None where it may. What an earlier submission saw does not count."""
    entries = status.read_status(home).interruptions
    causes = [entry["cause"] for entry in entries if entry["job_id"] == job]
    for cause in dict.fromkeys(causes):
        limit = limits.get(cause)
        if limit is not None and causes.count(cause) >= limit:
            advice = f"; {ADVICE[cause]}" if cause in ADVICE else ""
            return f"ended {causes.count(cause)} times by {cause} (cluster.max_attempts.{cause}={limit}){advice}"
    return None


def tail(log: Path, lines: int = 1) -> str:
    """The last lines of the processes' logs, of the one that wrote last."""
    files = sorted(log.parent.glob(log.name.replace("%t", "*")), key=lambda file: file.stat().st_mtime)
    if not files:
        return "no log"
    return "\n".join(files[-1].read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
