"""Ids of W&B runs. A point has one, kept in its folder, by which an interrupted run is continued."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from mmdpo.files import read_json, write_json

FILE = Path("wandb", "run.json")
STARTED = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-(.+)")
"""Name of the folder in which W&B keeps one start of a run."""


def run_id(folder: Path) -> str:
    """Return the id of a point's run; a random one is recorded at the first call.

    A run that an earlier version began keeps its id. A copy of the folder gets a run of its own, a moved folder
    keeps its run.
    """
    recorded = _recorded(folder)
    if recorded is None:
        return new_run_id(folder, _of_earlier_version(folder))
    known, place = recorded
    if place != str(folder.resolve()):
        return new_run_id(folder, None if _is_copy(folder, known, Path(place)) else known)
    return known


def new_run_id(folder: Path, known: str | None = None) -> str:
    """Record another id for a point's run, a random one unless it is given."""
    new = known or secrets.token_hex(8)
    write_json(folder / FILE, {"id": new, "folder": str(folder.resolve())})
    return new


def _recorded(folder: Path) -> tuple[str, str] | None:
    """Read the id and the folder that it was recorded in; None without a readable record."""
    try:
        data = read_json(folder / FILE)
        return (str(data["id"]), str(data["folder"])) if data["id"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_copy(folder: Path, known: str, place: Path) -> bool:
    """Return whether the folder that an id was recorded in is still there, and is another one."""
    other = _recorded(place)
    return other is not None and other[0] == known and not folder.samefile(place)


def _of_earlier_version(folder: Path) -> str | None:
    starts = [found for path in (folder / "wandb").glob("*run-*") if (found := STARTED.fullmatch(path.name))]
    return max(starts, key=lambda found: found[1])[2] if starts else None
