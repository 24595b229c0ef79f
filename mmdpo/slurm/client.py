"""SLURM's command-line tools: sbatch, squeue, sacct, scontrol and scancel."""

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

LIVE_STATES = frozenset(
    "PENDING CONFIGURING RUNNING COMPLETING REQUEUED REQUEUE_FED REQUEUE_HOLD RESIZING RESV_DEL_HOLD SPECIAL_EXIT "
    "SUSPENDED SIGNALING STAGE_OUT STOPPED".split()
)
"""SLURM's states of a job that has not ended."""

UNREACHABLE = re.compile("unable to contact|connection refused|socket timed out|zero bytes|not responding", re.I)
"""Error messages of a controller that does not answer."""

ACCOUNTING_SECONDS = 20.0  # wait for sacct, without which states are only less precise
CANCEL_CHUNK = 500  # job ids per scancel command, because the length of a command line is limited


class Unreachable(UserError):
    """A controller of SLURM that does not answer at the moment."""


@dataclass(frozen=True)
class Job:
    """A job, or one task of an array, as SLURM reports it."""

    id: str  # 12, or 12_3 for a task of an array
    state: str  # SLURM's name of the state, such as PENDING
    reason: str = ""
    node: str = ""
    comment: str = ""
    exit_code: str = ""  # from sacct: EXIT:SIGNAL

    @property
    def live(self) -> bool:
        """True if the job has not ended."""
        return self.state in LIVE_STATES


def is_installed(command: str = "sbatch") -> bool:
    """Return whether this machine has one of SLURM's commands."""
    return shutil.which(command) is not None


def require_installed() -> None:
    """Raise UserError on a machine without SLURM."""
    if not is_installed():
        raise UserError(
            "there is no sbatch on this machine: run the command on a login node of the cluster, or run the points "
            "here with cluster=local or cluster=local_parallel"
        )


def run_command(*command: str, stdin_text: str | None = None, timeout: float = 60.0, **environment: str | None) -> str:
    """Run one of SLURM's commands and return its output.

    Args:
        *command: The program and its arguments.
        stdin_text: Text for the command's standard input.
        timeout: Seconds to wait for the command to end.
        **environment: Variables to add to this process's environment; a variable that is None is removed.

    Returns:
        The command's standard output.

    Raises:
        Unreachable: The controller does not answer.
        UserError: The command fails for any other reason; the message is SLURM's own.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin_text,
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
    message = " ".join(done.stderr.split()) or f"{command[0]} failed with exit code {done.returncode}"
    raise Unreachable(message) if UNREACHABLE.search(message) else UserError(message)


retry_while_unreachable = retry(
    retry=retry_if_exception_type(Unreachable),
    wait=wait_exponential(max=10),
    stop=stop_after_delay(120),
    reraise=True,
)
"""Decorator that retries for two minutes while the controller is unreachable.

Decorate only functions that may run twice.
"""


def unavailable_reason() -> str:
    """Return why SLURM cannot be used at the moment; empty if it answers."""
    if not is_installed():
        return "there is no sbatch on this machine"
    try:
        run_command("sinfo", "--noheader", "--format=%P", timeout=20)
    except UserError as error:
        return str(error)
    return ""


def list_jobs(user: str, ids: Iterable[str] = ()) -> dict[str, Job]:
    """Return a user's jobs by id: all in squeue, and those of `ids` that have ended and that accounting remembers.

    Array tasks have entries of their own. Without accounting, jobs that ended some minutes ago are absent. A job that
    is live according to accounting alone is absent too: squeue lists all live jobs, and accounting keeps tasks as
    pending that were cancelled while they waited, until their whole array has ended.
    """
    found = {job.id: job for job in _squeue(user)}
    forgotten = sorted({job_id.partition("_")[0] for job_id in ids if job_id not in found})
    if forgotten and is_installed("sacct"):
        found = {**{job.id: job for job in _sacct(forgotten) if not job.live}, **found}
    return found


def _squeue(user: str) -> list[Job]:
    fields = "--format=%i|%T|%N|%r|%k"
    lines = run_command("squeue", "--noheader", "--array", "--states=all", f"--user={user}", fields)
    found = []
    for line in lines.splitlines():
        columns = line.strip().split("|", 4)
        if len(columns) == 5 and columns[0][:1].isdigit():  # not a further line of the comment of another job
            job_id, state, node, reason, comment = columns
            found += [Job(one, state, reason, node, comment) for one in _expand_ids(job_id)]
    return found


def _sacct(ids: Sequence[str]) -> list[Job]:
    fields = "JobID,State,ExitCode,NodeList,Reason"
    command = ("sacct", "-X", "--noheader", "--parsable2", f"--format={fields}", "-j", ",".join(ids))
    try:
        lines = run_command(*command, timeout=ACCOUNTING_SECONDS, SLURM_BITSTR_LEN="0")  # do not shorten ids of arrays
    except UserError:  # this cluster has no accounting, or it does not answer; squeue knows what is live
        return []
    found = []
    for line in lines.splitlines():
        job_id, state, code, node, reason = line.strip().split("|", 4)
        for one in _expand_ids(job_id):
            found.append(Job(one, state.split()[0], reason, node, exit_code=code))  # "CANCELLED by 0"
    return found


def _expand_ids(job_id: str) -> list[str]:
    """Expand the range of array tasks that never started, such as 12_[0-3,7%2], into single ids."""
    if "[" not in job_id:
        return [job_id]
    from submitit.slurm.slurm import read_job_id

    ranges = [(main, int(ends[0]), int(ends[-1])) for main, *ends in read_job_id(job_id)]
    return [f"{main}_{index}" for main, first, last in ranges for index in range(first, last + 1)]


@functools.cache
def controller_config() -> dict[str, str]:
    """Return the output of `scontrol show config` by key; it is read once per process."""
    return dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", run_command("scontrol", "show", "config"), re.MULTILINE))


@retry_while_unreachable
def max_array_size() -> int:
    """Return the largest number of tasks in an array (MaxArraySize, which is above every index)."""
    return int(controller_config().get("MaxArraySize", 1001))


@retry_while_unreachable
def show_job(job_id: str) -> dict[str, str]:
    """Return the output of `scontrol show job` by field."""
    return dict(re.findall(r"(\w[\w:/]*)=(\S*)", run_command("scontrol", "show", "job", "--oneliner", job_id)))


@retry_while_unreachable
def requeue_job(job_id: str) -> None:
    """End a running job and put it back into the queue."""
    run_command("scontrol", "requeue", job_id)


def rename_job(job_id: str, name: str) -> None:
    """Change the name of a job in the queue."""
    run_command("scontrol", "update", f"JobId={job_id}", f"Name={name}")


@retry_while_unreachable
def cancel_jobs(ids: Sequence[str]) -> None:
    """Cancel running and waiting jobs; jobs that have already ended are ignored."""
    for start in range(0, len(ids), CANCEL_CHUNK):
        run_command("scancel", "--quiet", *ids[start : start + CANCEL_CHUNK])
