"""The commands `python -m mmdpo retry | cancel | logs` for a study's jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdpo.console import print_line, printable
from mmdpo.errors import UserError
from mmdpo.points.status import State, read_status
from mmdpo.slurm import client as slurm
from mmdpo.slurm.submission import PREPARE, read_submissions
from mmdpo.slurm.task_states import query_jobs, read_task_states

LISTED = 8  # points in a message


def retry(study: Path, overrides: Sequence[str]) -> int:
    """Submit again what failed or never ran of a study, with the code of its submission.

    Args:
        study: The folder of the study.
        overrides: Changes to settings of the cluster, such as cluster.mem=64G.

    Returns:
        The number of submitted points.
    """
    from mmdpo.slurm.launch import resubmit

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
    jobs = {one.job for one in chosen}
    if not pieces:  # whole arrays, and the preparations that they wait for
        known = query_jobs(found)
        parts = [part for submission in found for part in submission.parts if part.kind == PREPARE]
        prepared = {part.job for part in parts if part.job in known and known[part.job].live}
        jobs = {job and job.partition("_")[0] for job in jobs} | prepared
    slurm.cancel_jobs(sorted(job for job in jobs if job))
    return len(chosen)


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
    folders = {file.parent.name: file.parent for file in study.glob("*/status.json")}
    states = {name: read_status(folder).state for name, folder in folders.items()}
    for name, one in read_task_states(study).items():  # SLURM takes precedence over the files
        folders[name], states[name] = one.folder, one.state
    folder = folders[_match_names([*folders], [piece])[0]] if piece else _default_folder(study, folders, states)
    files = last_attempt_logs(folder, rank)
    if not files:
        raise UserError(
            f"{folder.name} has no log: its job has not started, or it ran in a terminal. The output of SLURM's "
            f"jobs is in {study}/jobs/*/*.log"
        )
    for file in files:
        print_line(f"== {file}")
        print(printable(file.read_text(encoding="utf-8", errors="replace")), end="", flush=True)
    if follow:
        _follow(files[-1])


def last_attempt_logs(folder: Path, rank: int | None = None) -> list[Path]:
    """Return the logs of the last attempt's processes, ordered by rank."""
    found = {}
    for file in (folder / "logs").glob("attempt-*-rank-*.log"):
        attempt, number = map(int, re.findall(r"\d+", file.name))
        found[attempt, number] = file
    last = max((attempt for attempt, _ in found), default=0)
    return [found[key] for key in sorted(found) if key[0] == last and rank in (None, key[1])]


def _follow(file: Path) -> None:
    """Print what is added to a file until Ctrl-C."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(0, 2)
        try:
            while True:
                text = lines.read()
                print(printable(text), end="", flush=True)
                if not text:
                    time.sleep(0.5)
        except KeyboardInterrupt:
            print()


def _default_folder(study: Path, folders: Mapping[str, Path], states: Mapping[str, State]) -> Path:
    """Return the folder of the last failure, else of a running point, else of the last preparation."""
    for state in (State.failed, State.running):
        found = [folder for name, folder in folders.items() if states[name] is state and last_attempt_logs(folder)]
        if found:
            return max(found, key=lambda folder: (folder / "status.json").stat().st_mtime)
    prepared = [submission.folder / PREPARE for submission in read_submissions(study)]
    with_logs = [folder for folder in prepared if last_attempt_logs(folder)]
    if with_logs:
        return with_logs[-1]
    raise UserError(f"no point of {study} has failed or runs: name one, python -m mmdpo logs STUDY POINT")


def _match_names(names: Sequence[str], pieces: Sequence[str]) -> list[str]:
    """Return the names that contain one of the pieces. Raises UserError if none does."""
    found = [name for name in names if any(piece in name for piece in pieces)]
    if not found:
        known = ", ".join(names[:LISTED]) or "none"
        raise UserError(f"no point has {' or '.join(map(repr, pieces))} in its name; there are {known}")
    return found
