"""Find studies and points by name or by a part of it."""

from __future__ import annotations

import os
from pathlib import Path

from mmdpo.errors import UserError

OUTPUTS = Path("outputs")
LISTED = 8  # points in a message


def find_study(name: str | None, outputs: Path = OUTPUTS) -> Path:
    """Find the folder of a study; without a name, the one that changed last.

    Raises:
        UserError: There is no study of that name, or none at all.
    """
    studies = list_studies(outputs)
    if name is None:
        if not studies:
            raise UserError(f"no study under {outputs}/. Run `python launch.py -m ...` first, or name a folder.")
        return max(studies, key=_changed)
    for folder in (outputs / name, Path(name)):
        if os.path.isdir(folder):  # unlike Path.is_dir, it raises for no name
            return folder
    known = ", ".join(folder.name for folder in studies) or "nothing"
    raise UserError(f"no study {name!r}: it is not a folder, and {outputs}/ holds {known}.")


def find_point(name: str, outputs: Path = OUTPUTS) -> Path:
    """Find the folder of a point by its path or by a part of its name.

    Raises:
        UserError: No point has that part in its name, or several have.
    """
    if any(os.path.exists(Path(name) / file) for file in ("result.json", "config.yaml")):
        return Path(name)
    study, _, piece = name.rpartition("/")
    studies = [find_study(study, outputs)] if study else list_studies(outputs)
    points = [point for folder in studies for point in _points(folder)]
    found = [point for point in points if point.name == piece] or [p for p in points if piece in p.name]
    if len(found) == 1:
        return found[0]
    searched = f"{study}/" if study else f"{outputs}/"
    if not found:
        raise UserError(f"no point {piece!r} in {searched}. `python -m mmdpo status` shows the studies' points.")
    names = "".join(f"\n  {point.parent.name}/{point.name}" for point in found[:LISTED])
    names += f"\n  and {len(found) - LISTED} more" if len(found) > LISTED else ""
    raise UserError(f"{piece!r} is in the name of {len(found)} points; type more of one:{names}")


def list_studies(outputs: Path) -> list[Path]:
    """List the folders under `outputs` that hold points or jobs, by name."""
    try:
        names = sorted(os.listdir(outputs))
    except OSError:
        return []
    folders = [outputs / name for name in names]
    return [folder for folder in folders if os.path.isdir(folder) and (_points(folder) or _jobs(folder))]


def _points(study: Path) -> list[Path]:
    found = {path.parent for name in ("config.yaml", "status.json", "result.json") for path in study.glob(f"*/{name}")}
    return sorted(path for path in found if not path.name.startswith("."))


def _jobs(study: Path) -> list[Path]:
    return sorted(study.glob("jobs/*/submission.json"))


def _changed(study: Path) -> float:
    """Return the time of the last change to a file of a point or a submission."""
    return max(
        map(_time_of, [*(path for point in _points(study) for path in point.glob("*")), *_jobs(study)]), default=0.0
    )


def _time_of(path: Path) -> float:
    """Return the time of the last change; 0 for a file that is gone, such as the target of a link."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
