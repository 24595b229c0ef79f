"""Means over items and seeds together: value, interval and p value of a score or of a difference of scores.

Items and seeds are crossed random effects: every seed of a result answers the same items. The variance of the mean has
a part from the items and a part from the seeds, and both are estimated from the table of clusters by seeds, as in the
analysis of variance (Clark 1973, "The language-as-fixed-effect fallacy"; the degrees of freedom are Satterthwaite's).
With a single seed there is no estimate of the seeds' part, and the interval is about this one model.

Simulations (benchmarks/null_studies.py) show where this holds: as long as the standard deviation between seeds is at
most half of the standard error over items; with five seeds, up to all of it. Beyond, too many differences are claimed.

A statistic that is no mean, such as F1, enters by its jackknife pseudo-values: one number per cluster of items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.evaluation.sums import SumStatistic, mean
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
        seed_variance: The variance between seeds, without the noise of their items; 0 for a single seed. An estimate
            near 0 may be negative.
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
    seed_variance: float = 0.0


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
    codes, count = cluster_codes(clusters)
    return jackknife(data, codes, count, mean if statistic is None else statistic)


def cluster_codes(clusters: Sequence[str]) -> tuple[NDArray[Any], int]:
    """Number clusters in the order of their first items; returns the number of each item's, and how many there are."""
    import numpy as np

    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(name, len(numbers)) for name in clusters]
    return np.asarray(codes, dtype=int), len(numbers)


def jackknife(
    data: Sequence[NDArray[Any]], codes: NDArray[Any], count: int, statistic: Statistic
) -> tuple[float, NDArray[Any]]:
    """Compute a statistic and its pseudo-values, as `pseudo_values` does, over numbered clusters.

    Args:
        data: One array [N] per argument of the statistic.
        codes: The number of the cluster of each item.
        count: The number of clusters.
        statistic: A function of the columns. One of sums over items is computed from sums per cluster.
    """
    import numpy as np

    value = float(statistic(*data, axis=-1))
    if count < 2:
        return value, np.array([value])
    if isinstance(statistic, SumStatistic):
        sums = [np.bincount(codes, term, count) for term in statistic.terms(*data)]
        without = statistic.of_sums(*(one.sum() - one for one in sums))
    else:
        without = np.array([statistic(*(column[codes != code] for column in data), axis=-1) for code in range(count)])
    return value, count * value - (count - 1) * without


def estimate(values: Sequence[float], pseudo: NDArray[Any], n: int, confidence: float) -> Estimate:
    """Estimate a mean over items and seeds.

    Args:
        values: The value of each of S seeds.
        pseudo: Their pseudo-values [C, S] over the same clusters of items.
        n: The number of items.
        confidence: The level of the interval, such as 0.95.
    """
    return _interval(
        sum(values) / len(values), _variance(pseudo.mean(axis=1), [pseudo]), (n, *pseudo.shape), confidence
    )


def difference(
    first: tuple[Sequence[float], NDArray[Any]],
    second: tuple[Sequence[float], NDArray[Any]],
    n: int,
    confidence: float,
    same_seeds: bool = False,
    differing: int | None = None,
) -> Estimate:
    """Estimate the second mean minus the first one over the same items.

    Args:
        first: The values of the seeds of one result, and their pseudo-values [C, S] over clusters of items.
        second: The same of another result over the same clusters.
        n: The number of items.
        confidence: The level of the interval, such as 0.95.
        same_seeds: Whether seeds are paired as well: column by column they are the same in both.
        differing: The number of clusters in which the results differ at all; None for all of them.
    """
    (values_a, a), (values_b, b) = first, second
    value = sum(values_b) / len(values_b) - sum(values_a) / len(values_a)
    spread = _variance(b.mean(axis=1) - a.mean(axis=1), [b - a] if same_seeds else [a, b])
    shape = (n, a.shape[0], max(a.shape[1], b.shape[1]))
    return _interval(value, spread, shape, confidence, differing)


def mean_squares(pseudo: NDArray[Any]) -> tuple[float, float, float]:
    """Return the mean squares of clusters, of seeds and of their interaction of a table [C, S].

    Those of seeds and of the interaction are 0 with a single seed.
    """
    count, seeds = pseudo.shape
    rows, columns, total = pseudo.mean(axis=1), pseudo.mean(axis=0), pseudo.mean()
    of_clusters = seeds * float(((rows - total) ** 2).sum()) / (count - 1)
    if seeds == 1:
        return of_clusters, 0.0, 0.0
    of_seeds = count * float(((columns - total) ** 2).sum()) / (seeds - 1)
    rest = pseudo - rows[:, None] - columns[None, :] + total
    return of_clusters, of_seeds, float((rest**2).sum()) / ((count - 1) * (seeds - 1))


def total_variance(of_clusters: Any, of_seeds: Sequence[tuple[Any, Any, int]], clusters: int) -> tuple[Any, Any]:
    """Combine the parts of the variance of a mean.

    The degrees of freedom count the seeds' part also where it is estimated as 0: with few seeds that happens by chance.

    Args:
        of_clusters: The part of the clusters, with C - 1 degrees of freedom.
        of_seeds: For each table with several seeds: the mean squares of its seeds and of the interaction, both divided
            by the number of cells, and the number of seeds.
        clusters: The number of clusters, C.

    Returns:
        The variance and Satterthwaite's degrees of freedom, as numbers or arrays, as the parts are.
    """
    import numpy as np

    variance, spread = np.asarray(of_clusters), np.asarray(of_clusters) ** 2 / (clusters - 1)
    for seeds_square, rest, seeds in of_seeds:
        variance = variance + np.maximum(0.0, seeds_square - rest)
        spread = spread + seeds_square**2 / (seeds - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return variance, np.where(spread > 0, variance**2 / spread, clusters - 1)


def _variance(rows: NDArray[Any], tables: Sequence[NDArray[Any]]) -> tuple[float, float, float]:
    """Return the variance of a mean over items and seeds, its degrees of freedom, and the variance between seeds.

    All are NaN for a single cluster.

    Args:
        rows: The means over seeds of each of C clusters.
        tables: The tables [C, S] whose seeds add to the variance; those with a single seed add nothing.
    """
    count = len(rows)
    if count < 2:
        return math.nan, math.nan, math.nan
    parts, between = [], 0.0
    for table in tables:
        if table.shape[1] > 1:
            _, of_seeds, rest = mean_squares(table)
            parts.append((of_seeds / table.size, rest / table.size, table.shape[1]))
            between += (of_seeds - rest) / count
    variance, df = total_variance(float(rows.var(ddof=1)) / count, parts, count)
    return float(variance), max(1.0, float(df)), between


def _interval(
    value: float,
    spread: tuple[float, float, float],
    shape: tuple[int, int, int],
    confidence: float,
    differing: int | None = None,
) -> Estimate:
    """Return the estimate of a mean with a t distribution, from what `_variance` returns."""
    from scipy.special import stdtr, stdtrit

    (variance, df, between), (n, clusters, seeds) = spread, shape
    if math.isnan(variance):
        return Estimate(value, math.nan, math.nan, math.nan, n, clusters, seeds, math.nan, math.nan)
    error = math.sqrt(variance)
    reach = float(stdtrit(df, (1 + confidence) / 2)) * error
    p = float(2 * stdtr(df, -abs(value) / error)) if error else float(value == 0)
    # All that differ are on one side with this probability by chance alone, however large the differences are
    p = max(p, min(1.0, 2.0 ** (1 - (clusters if differing is None else differing))))
    return Estimate(value, value - reach, value + reach, p, n, clusters, seeds, error, df, between)
