"""The commands `python -m mmdpo retry | cancel | logs` for a study's jobs."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mmdpo.console import print_line, printable
from mmdpo.env_secrets import refuse_secret_words
from mmdpo.errors import UserError
from mmdpo.points.status import State, read_status
from mmdpo.slurm import client as slurm
from mmdpo.slurm.cancellations import record_cancelled
from mmdpo.slurm.submission import JUDGE, PREPARE, TASKS, read_submissions
from mmdpo.slurm.task_states import TaskState, query_jobs, read_task_states

LISTED = 8  # points in a message
FOLLOW_SECONDS = 0.5  # between looks at a log
STATE_SECONDS = 15.0  # between looks at the queue, which serves the whole site


def retry(study: Path, overrides: Sequence[str]) -> int:
    """Submit again what failed or never ran of a study, with the code of its submission.

    Args:
        study: The folder of the study.
        overrides: Changes to settings of the cluster, such as cluster.mem=64G.

    Returns:
        The number of submitted points.
    """
    from mmdpo.slurm.launch import resubmit

    refuse_secret_words(overrides)
    slurm.require_installed()
    return resubmit(study, overrides)


def cancel(study: Path, pieces: Sequence[str]) -> int:
    """Cancel a study's jobs.

    Args:
        study: The folder of the study.
        pieces: Parts of the names of points whose jobs to cancel; without any, all jobs are cancelled.

    Returns:
        The number of points whose jobs were cancelled.
    """
    slurm.require_installed()
    found = read_submissions(study)
    if not found:
        raise UserError(f"{study} has no jobs on SLURM; to end a run on one machine, press Ctrl-C in its terminal")
    states = read_task_states(study)
    names = _match_names([*states], pieces) if pieces else [*states]
    chosen = [states[name] for name in names if states[name].live]
    shared = [one for one in chosen if pieces and _runs_others(one, states, chosen)]
    jobs = {one.job for one in chosen if one not in shared}
    if not pieces:  # whole arrays, the preparations that they wait for, and the judging that waits for them
        known = query_jobs(found)
        parts = [part for submission in found for part in submission.parts if part.kind != TASKS]
        prepared = {part.job for part in parts if part.job in known and known[part.job].live}
        jobs = {job and job.partition("_")[0] for job in jobs} | prepared
    slurm.cancel_jobs(sorted(job for job in jobs if job))
    for submission in found:
        alone = [one for one in chosen if one.submission.name == submission.name and one not in shared]
        left_out = [one.task.name for one in shared if one.submission.name == submission.name]
        if left_out:
            record_cancelled(submission, [], left_out)
        ended = [one.job for one in alone]
        ended += [part.job for part in submission.parts if part.kind != TASKS and part.job in jobs]
        with suppress(OSError):  # for example of another user; SLURM's own record is left
            record_cancelled(submission, [job for job in ended if job])
    for job in sorted({one.job for one in shared if one.job and one.state is State.running}):
        slurm.requeue_job(job)  # it continues without the cancelled points
    return len(chosen)


def _runs_others(one: TaskState, states: Mapping[str, TaskState], chosen: Sequence[TaskState]) -> bool:
    """Return whether the job of a task also runs tasks that are not chosen (cluster.points_per_job)."""
    return any(other.job == one.job and other.live and other not in chosen for other in states.values())


def logs(study: Path, piece: str | None, rank: int | None, follow: bool) -> None:
    """Print the logs of a point's last attempt.

    Args:
        study: The folder of the study.
        piece: A part of the point's name; None for the point that failed last, or else one that runs.
        rank: The process whose log to print; None for all processes.
        follow: Whether to continue with what is added, until Ctrl-C.

    Raises:
        UserError: No such point, or it has no log.
    """
    folders, states = _folders_and_states(study)
    folder = folders[_match_names([*folders], [piece])[0]] if piece else _default_folder(study, folders, states)
    files = last_attempt_logs(folder, rank)
    if not files:
        raise UserError(
            f"{folder.name} has no log: its job has not started, or it ran in a terminal with an earlier version. "
            f"The output of SLURM's jobs is in {study}/jobs/*/*.log"
        )
    logs_of_attempt = [_Log(file) for file in files]
    for log in logs_of_attempt:
        log.print_new()
    if follow:
        _follow(study, folder, rank, logs_of_attempt[-1])


def _folders_and_states(study: Path) -> tuple[dict[str, Path], dict[str, State]]:
    """Return the folder and the state of each task of a study by name."""
    folders = {file.parent.name: file.parent for file in study.glob("*/status.json")}
    states = {name: read_status(folder).state for name, folder in folders.items()}
    for name, one in read_task_states(study).items():  # SLURM takes precedence over the files
        folders[name], states[name] = one.folder, one.state
    return folders, states


def last_attempt_logs(folder: Path, rank: int | None = None) -> list[Path]:
    """Return the logs of the last attempt's processes, ordered by rank."""
    found = {}
    for file in (folder / "logs").glob("attempt-*-rank-*.log"):
        attempt, number = map(int, re.findall(r"\d+", file.name))
        found[attempt, number] = file
    last = max((attempt for attempt, _ in found), default=0)
    return [found[key] for key in sorted(found) if key[0] == last and rank in (None, key[1])]


class _Log:
    """A log that is printed as it grows."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._position: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may be written in two parts

    def print_new(self) -> None:
        """Print what was added since the last call; first a line with the file."""
        if self._position is None:
            print_line(f"== {self.file}")
        with self.file.open("rb") as content:
            content.seek(self._position or 0)
            print(_printable_log(self._decoder.decode(content.read())), end="", flush=True)
            self._position = content.tell()


def _follow(study: Path, folder: Path, rank: int | None, log: _Log) -> None:
    """Print what is added to a log, then the logs of later attempts, until the task has ended or Ctrl-C.

    Args:
        study: The folder of the study.
        folder: The folder of the task.
        rank: The process whose log to print; None for the last process.
        log: The log of the present attempt, as far as it has been printed.
    """
    asked, settled, ended = time.monotonic(), False, False
    try:
        while True:
            log.print_new()
            newest = last_attempt_logs(folder, rank)[-1]
            if newest != log.file:
                log, ended = _Log(newest), False
                continue
            if ended:
                print_line(f"{folder.name} has ended")
                return
            before, settled = settled, read_status(folder).state in (State.done, State.failed)
            if settled > before or time.monotonic() - asked >= STATE_SECONDS:
                asked = time.monotonic()
                known = _folders_and_states(study)[1].get(folder.name)  # a job may still wait after a retry
                ended = settled if known is None else known not in (State.pending, State.running)
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        print()


def _printable_log(text: str) -> str:
    """Put each state of a progress bar on a line, and replace control characters by visible escapes."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"))


def _default_folder(study: Path, folders: Mapping[str, Path], states: Mapping[str, State]) -> Path:
    """Return the folder of the last failure, else of a running, interrupted or finished point or a preparation."""
    for state in (State.failed, State.running, State.interrupted):
        found = [folder for name, folder in folders.items() if states[name] is state and last_attempt_logs(folder)]
        if found:
            return max(found, key=lambda folder: (folder / "status.json").stat().st_mtime)
    prepared = [submission.folder / kind for submission in read_submissions(study) for kind in (PREPARE, JUDGE)]
    with_logs = [folder for folder in prepared if last_attempt_logs(folder)]
    if with_logs:
        return with_logs[-1]
    done = [folder for folder in folders.values() if last_attempt_logs(folder)]
    if done:
        return max(done, key=lambda folder: last_attempt_logs(folder)[-1].stat().st_mtime)
    raise UserError(f"no point of {study} has a log yet")


def _match_names(names: Sequence[str], pieces: Sequence[str]) -> list[str]:
    """Return the names that contain one of the pieces. Raises UserError if none does."""
    found = [name for name in names if any(piece in name for piece in pieces)]
    if not found:
        known = ", ".join(names[:LISTED]) or "none"
        raise UserError(f"no point has {' or '.join(map(repr, pieces))} in its name; there are {known}")
    return found
