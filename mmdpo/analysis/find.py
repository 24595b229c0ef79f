"""Find studies by name."""

from __future__ import annotations

import os
from pathlib import Path

from mmdpo.errors import UserError

OUTPUTS = Path("outputs")


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
