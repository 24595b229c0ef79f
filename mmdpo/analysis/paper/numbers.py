"""Numbers of the paper's tables as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmdpo.analysis.labels import decimals
from mmdpo.evaluation.crossed import Estimate
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import find_task

SHARE_PLACES = 3
"""The decimals of scores from 0 to 1, as the paper prints them."""
MANY = 20
"""The score from which the paper prints one decimal."""


def score_text(score: Score, places: int) -> str:
    """Write a score with half the width of its interval: `7.67 ±0.33`."""
    if math.isnan(score.low):
        return f"{score.value:.{places}f}"
    return f"{score.value:.{places}f} ±{(score.high - score.low) / 2:.{places}f}"


def plain_number(value: float | None) -> float | None:
    """Return a number for a CSV file: rounded to what is meant, and None for NaN."""
    return None if value is None or math.isnan(value) else float(f"{value:.8g}")


def estimate_columns(estimate: Estimate | None, prefix: str) -> dict[str, float | None]:
    """Return the columns of a CSV file for a difference.

    Args:
        estimate: The difference; None leaves the columns empty.
        prefix: The name of the column of its value; the others begin with it.
    """
    return {
        prefix: plain_number(estimate.value if estimate else None),
        f"{prefix}_low": plain_number(estimate.low if estimate else None),
        f"{prefix}_high": plain_number(estimate.high if estimate else None),
        f"{prefix}_p": plain_number(estimate.p if estimate else None),
    }


def places_of(scores: Sequence[Score], task: str) -> int:
    """Return the number of decimals for the scores of a task: three for shares, else what the intervals warrant."""
    found = find_task(task)
    is_share = found.scale == (0, 1) if found else False
    return SHARE_PLACES if is_share else decimals(scores)


def printed_text(printed: float | None, places: int) -> str:
    """Write a number of the paper beside one with some decimals; empty for none."""
    if printed is None:
        return ""
    return f"{printed:.{max(places, 1 if abs(printed) >= MANY else 2)}f}"


def p_text(p: float) -> str:
    """Write a p value: `0.097`, `< 0.001`."""
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
