"""Rungs of a point: the folder `rungs/SHARE` with the adapter of that share of the training, and its scores on dev."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmdpo.files import write_json
from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.results import read_training

RUNGS = "rungs"
"""The folder of a point that holds its rungs."""
FILE = "rung.json"


@dataclass(frozen=True)
class RungScore:
    """The measurement of a point at a rung.

    Attributes:
        share: The share of the point's optimizer steps.
        step: The step.
        scores: The scores on the dev split by their names, with n, interval and unscored items.
        measured: A fingerprint of the benchmark's settings.
        below_reference: The share of the chosen answers that are less likely than under the reference; None for a
            training that does not log it.
        seconds: The seconds of training and measuring at this rung, by the process that ended them.
    """

    share: float
    step: int
    scores: dict[str, dict[str, Any]]
    measured: str
    below_reference: float | None = None
    seconds: float = 0.0

    def value(self, objective: str) -> float | None:
        """Return a score by its name; None if the point has no such score."""
        found = self.scores.get(objective, {}).get("value")
        return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def rung_name(share: float) -> str:
    """Return the name of a rung's folder below the point's."""
    return f"{RUNGS}/{share:g}"


def rung_folder(folder: Path, share: float) -> Path:
    """Return the folder of a rung of a point."""
    return folder / rung_name(share)


def is_rung_trained(folder: Path, share: float) -> bool:
    """Return whether the adapter of a rung is there."""
    return read_training(rung_folder(folder, share)) is not None


def write_rung(folder: Path, score: RungScore) -> None:
    """Write the measurement of a point at a rung."""
    write_json(rung_folder(folder, score.share) / FILE, asdict(score))


def read_rung(folder: Path, share: float) -> RungScore | None:
    """Read the measurement of a point at a rung; None if it is missing or damaged."""
    data = mapping_or_none(rung_folder(folder, share) / FILE)
    try:
        assert data is not None
        found = RungScore(**data)
        valid = isinstance(found.step, int) and all(isinstance(one, dict) for one in found.scores.values())
        return found if valid and math.isclose(found.share, share) else None
    except (AssertionError, TypeError, AttributeError):
        return None
