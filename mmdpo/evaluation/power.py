"""The smallest difference that a comparison sees, from the parts of its variance, and what a given difference needs.

A difference is seen if its p value is below the level after correction. The power is that of the test in
`mmdpo.evaluation.crossed`, with the distribution of its mean squares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

POWER = 0.8
"""The share of studies that see the smallest visible difference."""

DRAWS = 4000  # of the mean squares
MOST_SEEDS, MOST_CLUSTERS = 50, 10_000_000  # to which a search goes


@dataclass(frozen=True)
class Variances:
    """The parts of the variance of paired differences.

    Attributes:
        items: The variance between clusters of items, of differences that all seeds share.
        noise: The variance of the differences of single seeds around that, between clusters.
        seeds: The variance of the mean difference between seeds.
    """

    items: float
    noise: float
    seeds: float

    @classmethod
    def of_single(cls, error: float, clusters: int, noise_share: float, seed_ratio: float) -> Variances:
        """Return the parts behind the standard error of a comparison of two single models.

        Args:
            error: The standard error.
            clusters: The number of clusters that it was measured on.
            noise_share: The assumed share of `noise` in the variance over items.
            seed_ratio: The assumed deviation between seeds, as a share of the standard error.
        """
        total = error**2 * clusters
        return cls((1 - noise_share) * total, noise_share * total, (seed_ratio * error) ** 2)


@dataclass(frozen=True)
class Design:
    """The size of a comparison.

    Attributes:
        clusters: The number of clusters of items.
        seeds: The number of seeds; with a single one the comparison is about one model.
        comparisons: The number of comparisons that the verdict is corrected for.
        level: The level of the p value, such as 0.05.
    """

    clusters: int
    seeds: int = 1
    comparisons: int = 1
    level: float = 0.05


def smallest_visible(variances: Variances, design: Design, power: float = POWER) -> float:
    """Return the smallest difference that a share of studies sees; infinite with fewer than two clusters.

    Args:
        variances: The parts of the variance of paired differences.
        design: The size of the comparison.
        power: The share.
    """
    if design.clusters < 2:
        return math.inf
    if design.seeds == 1:
        error = math.sqrt((variances.items + variances.noise) / design.clusters)
        return visible_of_error(error, design.clusters - 1, design.level / design.comparisons, power)
    deviation, limits = _limits(variances, design)
    return _difference_with_power(deviation, limits, power)


@lru_cache(maxsize=1024)
def visible_of_error(error: float, df: float, level: float, power: float = POWER) -> float:
    """Return the smallest visible difference of a t test.

    Args:
        error: The standard error of the difference.
        df: The degrees of freedom.
        level: The two-sided level of the test.
        power: The share of studies that see the difference.
    """
    from scipy.special import nctdtrinc, stdtrit

    return error * float(nctdtrinc(df, 1 - power, stdtrit(df, 1 - level / 2)))


def seeds_for(difference: float, variances: Variances, design: Design) -> int | None:
    """Return how many seeds, at least those of the design and at least two, see a difference; None if no number does.

    Args:
        difference: The difference.
        variances: The parts of the variance of paired differences.
        design: The size of the comparison.
    """
    return _search(
        lambda seeds: smallest_visible(variances, replace(design, seeds=seeds)) <= difference,
        max(2, design.seeds),
        MOST_SEEDS,
    )


def clusters_for(difference: float, variances: Variances, design: Design) -> int | None:
    """Return how many clusters of items see a difference with the design's seeds; None if no number does.

    Args:
        difference: The difference.
        variances: The parts of the variance of paired differences.
        design: The size of the comparison.
    """
    return _search(
        lambda clusters: smallest_visible(variances, replace(design, clusters=clusters)) <= difference, 2, MOST_CLUSTERS
    )


def _search(is_enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the smallest number that is enough, if all above it are as well; None if the highest is not."""
    if not is_enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _limits(variances: Variances, design: Design) -> tuple[float, Any]:
    """Return the standard deviation of a mean difference, and drawn limits from which it is significant."""
    import numpy as np
    from scipy.special import stdtrit

    from mmdpo.evaluation.crossed import total_variance

    rng = np.random.default_rng(0)
    count, seeds = design.clusters, design.seeds
    cells, free = count * seeds, (count - 1, seeds - 1, (count - 1) * (seeds - 1))
    expected = (seeds * variances.items + variances.noise, count * variances.seeds + variances.noise, variances.noise)
    of_clusters, of_seeds, rest = (
        mean * rng.chisquare(df, DRAWS) / (df * cells) for mean, df in zip(expected, free, strict=True)
    )
    variance, df = total_variance(of_clusters, [(of_seeds, rest, seeds)], count)
    limits = stdtrit(np.maximum(1.0, df), 1 - design.level / design.comparisons / 2) * np.sqrt(variance)
    return math.sqrt((expected[0] + count * variances.seeds) / cells), limits


def _difference_with_power(deviation: float, limits: Any, power: float) -> float:
    """Return the difference that exceeds limits with a given probability."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    if not deviation:
        return 0.0

    def excess(difference: float) -> float:
        return float(ndtr((difference - limits) / deviation).mean()) - power

    return float(brentq(excess, 0.0, float(limits.max()) + 10 * deviation))
