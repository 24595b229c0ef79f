"""What `python -m mmdpo retry | cancel | logs` do with a study's jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.points.status import read_status
from mmdpo.slurm import client as slurm
from mmdpo.slurm.submission import PREPARE, submissions
from mmdpo.slurm.task_states import known_jobs, look

LISTED = 8  # points in a message


def retry(study: Path, overrides: Sequence[str]) -> int:
    """Submit again what failed or was never run, with the code of its submission; returns how many.

    `overrides` change settings of the cluster alone, as in cluster.mem=64G.
    """
    from mmdpo.slurm.launch import resubmit

    slurm.require()
    return resubmit(study, overrides)


def cancel(study: Path, pieces: Sequence[str]) -> int:
    """End a study's jobs, or those of the points whose names have one of the pieces; returns how many."""
    slurm.require()
    found = submissions(study)
    if not found:
        raise UserError(f"{study} has no jobs on SLURM; Ctrl-C in its terminal ends what runs elsewhere")
    seen = look(study)
    names = _chosen([*seen], pieces) if pieces else [*seen]
    chosen = [seen[name] for name in names if seen[name].live]
    jobs = {one.job for one in chosen}
    if not pieces:  # whole arrays, and what they wait for
        known = known_jobs(found)
        parts = [part for submission in found for part in submission.parts if part.kind == PREPARE]
        prepared = {part.job for part in parts if part.job in known and known[part.job].live}
        jobs = {job and job.partition("_")[0] for job in jobs} | prepared
    slurm.cancel(sorted(job for job in jobs if job))
    return len(chosen)


def logs(study: Path, piece: str | None, rank: int | None, follow: bool) -> None:
    """Print the log of a point's last attempt; without a piece of its name, of what failed last or runs."""
    homes = {file.parent.name: file.parent for file in study.glob("*/status.json")}
    states = {name: str(read_status(home).state) for name, home in homes.items()}
    for name, one in look(study).items():  # SLURM knows better
        homes[name], states[name] = one.folder, one.state
    home = homes[_chosen([*homes], [piece])[0]] if piece else _interesting(study, homes, states)
    files = last_logs(home, rank)
    if not files:
        raise UserError(
            f"{home.name} has no log: its job has not started, or it ran in a terminal. What SLURM printed "
            f"for jobs lies in {study}/jobs/*/*.log"
        )
    for file in files:
        print_line(f"== {file}")
        print(file.read_text(encoding="utf-8", errors="replace"), end="", flush=True)
    if follow:
        _follow(files[-1])


def last_logs(home: Path, rank: int | None = None) -> list[Path]:
    """The logs of the last attempt's processes, in the order of their ranks."""
    found = {}
    for file in (home / "logs").glob("attempt-*-rank-*.log"):
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
                print(text, end="", flush=True)
                if not text:
                    time.sleep(0.5)
        except KeyboardInterrupt:
            print()


def _interesting(study: Path, homes: dict[str, Path], states: dict[str, str]) -> Path:
    """What the user most likely asks for: the last failure, else what runs, else the preparation."""
    for state in ("failed", "running"):
        found = [home for name, home in homes.items() if states[name] == state and last_logs(home)]
        if found:
            return max(found, key=lambda home: (home / "status.json").stat().st_mtime)
    prepared = [submission.folder / PREPARE for submission in submissions(study)]
    found_logs = [home for home in prepared if last_logs(home)]
    if found_logs:
        return found_logs[-1]
    raise UserError(f"no point of {study} has failed or runs: name one, python -m mmdpo logs STUDY POINT")


def _chosen(names: Sequence[str], pieces: Sequence[str]) -> list[str]:
    """The names that have one of the pieces. Raises UserError for none."""
    found = [name for name in names if any(piece in name for piece in pieces)]
    if not found:
        known = ", ".join(names[:LISTED]) or "none"
        raise UserError(f"no point has {' or '.join(map(repr, pieces))} in its name; there are {known}")
    return found
