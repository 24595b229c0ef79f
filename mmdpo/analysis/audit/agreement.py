"""Agreement of ratings of the same things: of a judge with itself, or of two judges.

The chance-corrected measure is Krippendorff's alpha for interval data, which takes any number of ratings per item; of
two ratings it is close to the quadratic weighted kappa.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.audit.estimates import CORRELATION, estimate_of

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate


@dataclass(frozen=True)
class Agreement:
    """The agreement of two or more ratings of the same items.

    Attributes:
        n: The number of items.
        equal: The share of equal ratings, over all two ratings of an item.
        within: The share of ratings that are at most a step apart.
        alpha: Krippendorff's alpha, 1 for equal ratings and 0 for chance; None if all ratings are equal.
        shift: The mean of the second rating minus the first; None with more than two ratings of an item.
    """

    n: int
    equal: Estimate
    within: Estimate
    alpha: Estimate | None
    shift: Estimate | None


def agreement(
    ratings: Sequence[Sequence[float]], clusters: Sequence[str], confidence: float, step: float = 1.0
) -> Agreement | None:
    """Compute the agreement of ratings.

    Args:
        ratings: One sequence of N ratings per rater; NaN where a rater has none. An item counts with two ratings.
        clusters: The cluster of each item.
        confidence: The level of the intervals.
        step: The difference that is still counted as near.

    Returns:
        The agreement; None if no item has two ratings.
    """
    import numpy as np

    table = np.asarray(ratings, dtype=float)
    both = (~np.isnan(table)).sum(axis=0) >= 2 if table.size else np.zeros(0, dtype=bool)
    if not both.any():
        return None
    table, names = table[:, both], [name for name, kept in zip(clusters, both, strict=True) if kept]
    gaps = np.stack([table[one] - table[other] for one, other in combinations(range(len(table)), 2)])
    known = ~np.isnan(gaps)

    def share(near: float) -> Estimate:
        hits = (np.abs(np.where(known, gaps, np.inf)) <= near + 1e-9).sum(axis=0) / known.sum(axis=0)
        found = estimate_of([hits], names, confidence, limits=(0, 1))
        assert found is not None
        return found

    limits = CORRELATION
    alpha = estimate_of([*table], names, confidence, krippendorff_alpha, limits) if _varies(table) else None
    shift = estimate_of([table[1] - table[0]], names, confidence) if len(table) == 2 else None
    return Agreement(len(names), share(0), share(step), alpha, shift)


def krippendorff_alpha(*ratings: Any, axis: int = -1) -> float:
    """Compute Krippendorff's alpha for interval data of the ratings [N] of each rater; NaN if all are equal."""
    import krippendorff
    import numpy as np

    table = np.stack(ratings)
    if not _varies(table):
        return math.nan
    return float(krippendorff.alpha(reliability_data=table, level_of_measurement="interval"))


def _varies(table: Any) -> bool:
    import numpy as np

    return bool(np.nanmax(table) > np.nanmin(table))
