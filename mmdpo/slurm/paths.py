"""Paths in the options of sbatch and srun, in which some characters have a meaning."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.field_checks import unusable_character
from mmdpo.errors import UserError


def file_pattern(path: Path) -> str:
    """Return a path for an option in which SLURM replaces %j and the like."""
    return str(path).replace("%", "%%")


def require_usable(study: Path) -> None:
    """Raise UserError if jobs cannot write into the folder of a study, or cannot start in the working directory."""
    reasons = {"\\": "SLURM drops it", ":": "it ends an entry of PYTHONPATH, and the code of the jobs lies there"}
    for path, refused, advice in (
        (study.absolute(), "\\:", "type out=FOLDER with"),
        (Path.cwd(), "\\", "run the command in"),
    ):
        for character in str(path):
            if character in refused or unusable_character(character):
                reason = reasons.get(character, "the lines of a script for sbatch cannot hold it")
                raise UserError(
                    f"{str(path)!r}: {character!r} cannot be used with SLURM: {reason}; {advice} another folder"
                )
