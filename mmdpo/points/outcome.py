"""Outcomes of points."""

from __future__ import annotations

from dataclasses import dataclass

from mmdpo.files import Unreadable
from mmdpo.points.point import Point
from mmdpo.points.results import read_result
from mmdpo.points.status import State, read_status


@dataclass
class Outcome:
    """Outcome of one point: its objective, why a search pruned it, or the reason of its failure."""

    point: Point
    objective: float | None = None
    error: str | None = None
    pruned: str | None = None


def outcome(p: Point, error: str | None = None) -> Outcome:
    """Return the outcome of a point that has its result, that was pruned, or that failed for a reason."""
    if error:
        return Outcome(p, error=error)
    known = read_status(p.folder)
    if known.state is State.pruned:
        return Outcome(p, pruned=known.pruned or "pruned")
    try:
        score = read_result(p.folder)["scores"].get(p.config.objective)
    except (FileNotFoundError, Unreadable) as reason:
        return Outcome(p, error=f"no result: {reason}")
    return Outcome(p, objective=score.get("value") if isinstance(score, dict) else score)
