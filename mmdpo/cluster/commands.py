"""What `python -m mmdpo retry | cancel | logs` do with a study's jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from mmdpo.cluster import slurm
from mmdpo.cluster.submission import PREPARE, submissions
from mmdpo.cluster.view import Seen, look
from mmdpo.errors import UserError
from mmdpo.progress import say

LISTED = 8  # points in a message


def retry(study: Path, overrides: Sequence[str]) -> int:
    """Submit again what failed or was never run, with the code of its submission; returns how many.

    `overrides` change settings of the cluster alone, as in cluster.memory=64G.
    """
    from mmdpo.cluster.launch import resubmit

    slurm.require()
    return resubmit(study, overrides)


def cancel(study: Path, pieces: Sequence[str]) -> int:
    """End a study's jobs, or those of the points whose names have one of the pieces; returns how many."""
    slurm.require()
    chosen = [one for one in _chosen(look(study), pieces) if one.live]
    whole = {f"{one.job}".partition("_")[0] for one in chosen}
    if not pieces:
        parts = [part for submission in submissions(study) for part in submission.parts if part.job]
        whole |= {part.job for part in parts if part.kind == PREPARE and part.job}
        slurm.cancel(sorted(whole))
    else:
        slurm.cancel([one.job for one in chosen if one.job])
    return len(chosen)


def logs(study: Path, piece: str | None, rank: int | None, follow: bool) -> None:
    """Print the log of a point's last attempt; without a piece of its name, of what failed last or runs."""
    seen = look(study)
    home = _chosen(seen, [piece])[0].folder if piece else _interesting(study, seen)
    files = last_logs(home, rank)
    if not files:
        raise UserError(f"{home.name} has no log yet; its job has not started. {_of_jobs(study)}")
    for file in files:
        say(f"== {file}")
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


def _interesting(study: Path, seen: dict[str, Seen]) -> Path:
    """What the user most likely asks for: the last failure, else what runs, else the preparation."""
    for state in ("failed", "running"):
        found = [one for one in seen.values() if one.state == state and last_logs(one.folder)]
        if found:
            return max(found, key=lambda one: (one.folder / "status.json").stat().st_mtime).folder
    prepared = [submission.folder / PREPARE for submission in submissions(study)]
    found_logs = [home for home in prepared if last_logs(home)]
    if found_logs:
        return found_logs[-1]
    raise UserError(f"no point of {study} has failed or runs: name one, python -m mmdpo logs STUDY POINT")


def _of_jobs(study: Path) -> str:
    return f"What SLURM printed for its jobs lies in {study}/jobs/*/*.log"


def _chosen(seen: dict[str, Seen], pieces: Sequence[str]) -> list[Seen]:
    """The tasks whose names have one of the pieces, all without pieces. Raises UserError for none."""
    if not pieces:
        return list(seen.values())
    found = [one for name, one in seen.items() if any(piece in name for piece in pieces)]
    if not found:
        names = ", ".join(list(seen)[:LISTED]) or "none"
        raise UserError(f"no submitted point has {' or '.join(pieces)!r} in its name; there are {names}")
    return found
