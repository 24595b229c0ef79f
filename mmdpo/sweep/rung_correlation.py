"""The correlation of scores at a rung and at the end: typed, estimated from a study's finished points, or assumed."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from mmdpo.config.choices import Split
from mmdpo.config.search_settings import SearchConfig
from mmdpo.points.point import Point
from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.results import RESULT
from mmdpo.points.rungs import FILE, RUNGS, read_rung

ASSUMED = 0.9
"""The correlation that is assumed where too few points are finished."""
LEAST_POINTS = 10
"""The number of finished points from which the correlation is estimated."""


@dataclass(frozen=True)
class Correlation:
    """A correlation and its origin."""

    value: float
    origin: str


def correlation_with_end(p: Point, share: float, search: SearchConfig, objective: str) -> Correlation:
    """Return the correlation of the scores at a rung with those at the end.

    Points that were pruned have no score at the end. So the estimate is one among survivors, which are more alike than
    all points; that makes it smaller, and fewer points are pruned.

    Args:
        p: A point of the study that is measured at the rung.
        share: The rung.
        search: The settings of the search; a correlation that is set there is taken.
        objective: The name of the score.
    """
    if search.correlation is not None:
        return Correlation(search.correlation, "search.correlation")
    pairs = finished_scores(p.study, share, objective, _measured(p, share))
    if len(pairs) < LEAST_POINTS:
        return Correlation(ASSUMED, "assumed")
    try:
        found = statistics.correlation(*zip(*pairs, strict=True))
    except statistics.StatisticsError:  # all scores are alike
        return Correlation(ASSUMED, "assumed")
    return Correlation(max(0.0, found), f"as measured in {len(pairs)} finished points")


def finished_scores(study: Path, share: float, objective: str, measured: str) -> list[tuple[float, float]]:
    """Return the scores at a rung and at the end of the study's points that have both, on the same dev samples.

    Args:
        study: The folder of the study.
        share: The rung.
        objective: The name of the score.
        measured: The fingerprint of the benchmark's settings at the rung.
    """
    found = []
    for file in sorted(study.glob(f"*/{RUNGS}/{share:g}/{FILE}")):
        folder = file.parents[2]
        at_rung, at_end = read_rung(folder, share), _at_end(folder, objective)
        if at_rung is None or at_rung.measured != measured or at_end is None:
            continue
        value = at_rung.value(objective)
        if value is not None:
            found.append((value, at_end))
    return found


def _measured(p: Point, share: float) -> str:
    score = read_rung(p.folder, share)
    return score.measured if score is not None else ""


def _at_end(folder: Path, objective: str) -> float | None:
    """Return the score of a finished point on dev samples; None if it has none."""
    result = mapping_or_none(folder / RESULT) or {}
    labels, scores = result.get("labels"), result.get("scores")
    if not isinstance(labels, dict) or not isinstance(scores, dict):
        return None
    label, score = labels.get(objective.partition("/")[0]), scores.get(objective)
    if not isinstance(label, dict) or label.get("split") != Split.dev.value or not isinstance(score, dict):
        return None
    value = score.get("value")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
