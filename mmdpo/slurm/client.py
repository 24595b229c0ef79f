"""What SLURM knows and does, through its own commands."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from mmdpo.errors import UserError

LIVE = frozenset(
    "PENDING CONFIGURING RUNNING COMPLETING REQUEUED REQUEUE_FED REQUEUE_HOLD RESIZING SUSPENDED "
    "SIGNALING STAGE_OUT STOPPED".split()
)
"""The states of a job that has not ended: it runs, or will."""

UNREACHABLE = re.compile("unable to contact|connection refused|socket timed out|zero bytes|not responding", re.I)


class Unreachable(UserError):
    """SLURM's controller does not answer now."""


@dataclass(frozen=True)
class Job:
    """A job, or a task of an array, as SLURM sees it."""

    id: str  # 12, or 12_3 of an array
    state: str  # SLURM's own word, as in PENDING
    reason: str = ""
    node: str = ""
    comment: str = ""
    exit_code: str = ""  # of sacct: EXIT:SIGNAL

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE


def is_here(command: str = "sbatch") -> bool:
    """Whether this machine has SLURM's commands."""
    return shutil.which(command) is not None


def require() -> None:
    """Raise UserError on a machine without SLURM."""
    if not is_here():
        raise UserError(
            "there is no sbatch on this machine: type the line on a login node of the cluster, or run here "
            "with cluster=local or cluster=local_parallel"
        )


def run(*command: str, given: str | None = None, timeout: float = 60.0, **environment: str | None) -> str:
    """The output of one of SLURM's commands, which is `given` a text to read.

    `environment` is added to this process's; a variable that is None there is left out.

    Raises Unreachable where its controller does not answer, UserError with SLURM's own words for any other
    failure.
    """
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={key: value for key, value in {**os.environ, **environment}.items() if value is not None},
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{command[0]} has not answered for {timeout:.0f} s") from error
    except OSError as error:
        raise UserError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode == 0:
        return done.stdout
    words = " ".join(done.stderr.split()) or f"{command[0]} failed with exit code {done.returncode}"
    raise Unreachable(words) if UNREACHABLE.search(words) else UserError(words)


patiently = retry(
    retry=retry_if_exception_type(Unreachable),
    wait=wait_exponential(max=10),
    stop=stop_after_delay(120),
    reraise=True,
)
"""Tries again for two minutes while the controller does not answer; what it wraps may be done twice."""


def complaint() -> str:
    """Why SLURM cannot be asked now; empty where it answers."""
    if not is_here():
        return "there is no sbatch on this machine"
    try:
        run("sinfo", "--noheader", "--format=%P", timeout=20)
    except UserError as error:
        return str(error)
    return ""


def jobs(user: str, ids: Iterable[str] = ()) -> dict[str, Job]:
    """A user's jobs by id: all that squeue still shows, and those of `ids` that accounting remembers.

    Array tasks have their own entries. Without accounting, what ended some minutes ago is absent.
    """
    found = {job.id: job for job in _queued(user)}
    forgotten = sorted({job_id.partition("_")[0] for job_id in ids if job_id not in found})
    if forgotten and is_here("sacct"):
        found = {**{job.id: job for job in _accounted(forgotten)}, **found}
    return found


def _queued(user: str) -> list[Job]:
    lines = run("squeue", "--noheader", "--array", "--states=all", f"--user={user}", "--format=%i|%T|%N|%r|%k")
    found = []
    for line in lines.splitlines():
        job_id, state, node, reason, comment = line.strip().split("|", 4)
        found += [Job(one, state, reason, node, comment) for one in _each(job_id)]
    return found


def _accounted(ids: Sequence[str]) -> list[Job]:
    fields = "JobID,State,ExitCode,NodeList,Reason"
    command = ("sacct", "-X", "--noheader", "--parsable2", f"--format={fields}", "-j", ",".join(ids))
    try:
        lines = run(*command, SLURM_BITSTR_LEN="0")  # ids of arrays in full
    except Unreachable:
        raise
    except UserError:  # no accounting on this cluster
        return []
    found = []
    for line in lines.splitlines():
        job_id, state, code, node, reason = line.strip().split("|", 4)
        for one in _each(job_id):
            found.append(Job(one, state.split()[0], reason, node, exit_code=code))  # "CANCELLED by 0"
    return found


def _each(job_id: str) -> list[str]:
    """The single ids of what may be a range of array tasks that never started: 12_[0-3,7%2]."""
    if "[" not in job_id:
        return [job_id]
    from submitit.slurm.slurm import read_job_id

    ranges = [(main, int(ends[0]), int(ends[-1])) for main, *ends in read_job_id(job_id)]
    return [f"{main}_{index}" for main, first, last in ranges for index in range(first, last + 1)]


@functools.cache
def settings() -> dict[str, str]:
    """What `scontrol show config` says, by key; asked once a process."""
    return dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", run("scontrol", "show", "config"), re.MULTILINE))


@patiently
def largest_array() -> int:
    """How many tasks an array may have: MaxArraySize, which its largest index must stay below."""
    return int(settings().get("MaxArraySize", 1001))


@patiently
def shown(job_id: str) -> dict[str, str]:
    """What `scontrol show job` says of a job, by field."""
    return dict(re.findall(r"(\w[\w:/]*)=(\S*)", run("scontrol", "show", "job", "--oneliner", job_id)))


@patiently
def requeue(job_id: str) -> None:
    """End a running job and put it back into the queue."""
    run("scontrol", "requeue", job_id)


def rename(job_id: str, name: str) -> None:
    """Give a job a name of its own."""
    run("scontrol", "update", f"JobId={job_id}", f"Name={name}")


@patiently
def cancel(ids: Sequence[str]) -> None:
    """End jobs, or take them out of the queue; those that have ended already are passed over."""
    for start in range(0, len(ids), 500):  # a command line has its limits
        run("scancel", "--quiet", *ids[start : start + 500])
