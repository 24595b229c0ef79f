"""Means over items and seeds together: value, interval and p value of a score or of a difference of scores.

Items and seeds are crossed random effects: every seed of a result answers the same items. The variance of the mean has
a part from the items and a part from the seeds, and both are estimated from the table of clusters by seeds, as in the
analysis of variance (Clark 1973, "The language-as-fixed-effect fallacy"; the degrees of freedom are Satterthwaite's).
With a single seed there is no estimate of the seeds' part, and the interval is about this one model.

A statistic that is no mean, such as F1, enters by its jackknife pseudo-values: one number per cluster of items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.evaluation.task import Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A score, or a difference of scores, with its interval.

    Attributes:
        value: The mean over the seeds.
        low: The lower end of the interval; NaN where the spread is unknown, as with a single cluster.
        high: The upper end.
        p: The two-sided p value against 0; NaN where the spread is unknown.
        n: The number of items.
        clusters: The number of clusters of items.
        seeds: The number of seeds.
        error: The standard error.
        df: The degrees of freedom of the t distribution behind the interval.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    clusters: int
    seeds: int
    error: float
    df: float


def pseudo_values(
    columns: Sequence[Sequence[float]], clusters: Sequence[str], statistic: Statistic | None = None
) -> tuple[float, NDArray[Any]]:
    """Compute a statistic over items and its jackknife pseudo-values over clusters of items.

    Args:
        columns: One sequence of N numbers per argument of the statistic.
        clusters: The cluster of each item.
        statistic: A function of the columns; None is the mean of a single column.

    Returns:
        The value, and the pseudo-values [C] of the clusters in the order of their first items. With one item per
        cluster, the pseudo-values of a mean are the items' values.
    """
    import numpy as np

    data = [np.asarray(column, dtype=float) for column in columns]
    codes, count = _codes(clusters)
    if statistic is None:
        sums, sizes = np.bincount(codes, data[0], count), np.bincount(codes, minlength=count)
        value = data[0].mean()
        without = (sums.sum() - sums) / (sizes.sum() - sizes) if count > 1 else np.array([value])
    else:
        value = float(statistic(*data, axis=-1))
        without = np.array([statistic(*(column[codes != code] for column in data), axis=-1) for code in range(count)])
    return float(value), count * value - (count - 1) * without


def estimate(values: Sequence[float], pseudo: NDArray[Any], n: int, confidence: float) -> Estimate:
    """Estimate a mean over items and seeds.

    Args:
        values: The value of each of S seeds.
        pseudo: Their pseudo-values [C, S] over the same clusters of items.
        n: The number of items.
        confidence: The level of the interval, such as 0.95.
    """
    variance, df = _variance(pseudo)
    return _interval(sum(values) / len(values), variance, df, (n, *pseudo.shape), confidence)


def difference(
    first: tuple[Sequence[float], NDArray[Any]],
    second: tuple[Sequence[float], NDArray[Any]],
    n: int,
    confidence: float,
    same_seeds: bool = False,
) -> Estimate:
    """Estimate the second mean minus the first one over the same items.

    Args:
        first: The values of the seeds of one result, and their pseudo-values [C, S] over clusters of items.
        second: The same of another result over the same clusters.
        n: The number of items.
        confidence: The level of the interval, such as 0.95.
        same_seeds: Whether seeds are paired as well: column by column they are the same in both.
    """
    import numpy as np

    (values_a, a), (values_b, b) = first, second
    value = sum(values_b) / len(values_b) - sum(values_a) / len(values_a)
    if same_seeds:
        variance, df = _variance(b - a)
    elif a.shape[1] == 1 or b.shape[1] == 1:
        fixed, seeds = (a, b) if a.shape[1] == 1 else (b, a)
        variance, df = _variance(seeds - fixed)
    else:
        variance, df = _variance((b.mean(axis=1) - a.mean(axis=1))[:, None])
        parts = [(variance, df), *(_seed_variance(one) for one in (a, b))]
        variance = sum(part for part, _ in parts)
        df = variance**2 / sum(part**2 / free for part, free in parts) if variance else df
    shape = (n, a.shape[0], max(a.shape[1], b.shape[1]))
    return _interval(float(np.float64(value)), variance, df, shape, confidence)


def _codes(clusters: Sequence[str]) -> tuple[NDArray[Any], int]:
    import numpy as np

    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(name, len(numbers)) for name in clusters]
    return np.asarray(codes), len(numbers)


def _mean_squares(pseudo: NDArray[Any]) -> tuple[float, float, float]:
    """Return the mean squares of clusters, of seeds and of their interaction of a table [C, S]."""
    count, seeds = pseudo.shape
    rows, columns, mean = pseudo.mean(axis=1), pseudo.mean(axis=0), pseudo.mean()
    of_clusters = seeds * float(((rows - mean) ** 2).sum()) / (count - 1)
    if seeds == 1:
        return of_clusters, 0.0, 0.0
    of_seeds = count * float(((columns - mean) ** 2).sum()) / (seeds - 1)
    rest = pseudo - rows[:, None] - columns[None, :] + mean
    return of_clusters, of_seeds, float((rest**2).sum()) / ((count - 1) * (seeds - 1))


def _variance(pseudo: NDArray[Any]) -> tuple[float, float]:
    """Return the variance of the mean of a table [C, S], and its degrees of freedom; NaN for a single cluster."""
    count, seeds = pseudo.shape
    if count < 2:
        return math.nan, math.nan
    of_clusters, of_seeds, rest = _mean_squares(pseudo)
    if of_seeds <= rest:  # the seeds vary no more than their interaction with the items explains
        return of_clusters / (count * seeds), count - 1
    total = of_clusters + of_seeds - rest
    spread = of_clusters**2 / (count - 1) + of_seeds**2 / (seeds - 1) + rest**2 / ((count - 1) * (seeds - 1))
    return total / (count * seeds), total**2 / spread


def _seed_variance(pseudo: NDArray[Any]) -> tuple[float, float]:
    """Return the seeds' part of the variance of the mean of a table [C, S], and its degrees of freedom."""
    count, seeds = pseudo.shape
    _, of_seeds, rest = _mean_squares(pseudo)
    return max(0.0, of_seeds - rest) / (count * seeds), seeds - 1


def _interval(value: float, variance: float, df: float, shape: tuple[int, int, int], confidence: float) -> Estimate:
    """Return the estimate of a mean with a t distribution."""
    from scipy.special import stdtr, stdtrit

    n, clusters, seeds = shape
    if math.isnan(variance):
        return Estimate(value, math.nan, math.nan, math.nan, n, clusters, seeds, math.nan, math.nan)
    error = math.sqrt(variance)
    reach = float(stdtrit(df, (1 + confidence) / 2)) * error
    p = float(2 * stdtr(df, -abs(value) / error)) if error else float(value == 0)
    # All items on one side by chance alone has this probability, however equal the differences are
    p = max(p, min(1.0, 2.0 ** (1 - clusters)))
    return Estimate(value, value - reach, value + reach, p, n, clusters, seeds, error, df)
