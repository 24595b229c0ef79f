"""Pearson's correlation with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 3
"""The smallest number of pairs of which a correlation says anything."""


@dataclass(frozen=True)
class Correlation:
    """A correlation, its interval by Fisher's transformation, its two-sided p value and the number of pairs."""

    r: float
    low: float
    high: float
    p: float
    n: int


def correlate(first: Sequence[float], second: Sequence[float], confidence: float) -> Correlation | None:
    """Compute the correlation of two sequences.

    Args:
        first: Numbers.
        second: As many numbers.
        confidence: The level of the interval.

    Returns:
        The correlation; None for fewer than three pairs and for numbers that are all equal. Three pairs leave the
        interval from -1 to 1.
    """
    from scipy.stats import pearsonr

    if len(first) < FEWEST or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    found = pearsonr(first, second)
    if math.isnan(found.statistic):  # numbers that differ by rounding alone
        return None
    low, high = (-1.0, 1.0) if len(first) == FEWEST else found.confidence_interval(confidence)
    return Correlation(float(found.statistic), float(low), float(high), float(found.pvalue), len(first))
