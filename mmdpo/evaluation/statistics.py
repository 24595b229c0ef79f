"""Scores with their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdpo.config.schema import BenchConfig


@dataclass(frozen=True)
class Score:
    """A figure, the number of items behind it, and its interval."""

    value: float
    n: int
    low: float
    high: float


Statistic = Callable[..., NDArray[np.float64]]
"""Takes one array [..., N] a column and an `axis`; returns the figure [...]."""


def score(columns: Sequence[Sequence[float]], bench: BenchConfig, statistic: Statistic | None = None) -> Score:
    """The figure of items (one value a column and item; the mean of one column unless told).

    The interval is the percentile bootstrap over items, drawn together across columns, with
    `bench.resamples` resamples and `bench.confidence`. Of no item at all the figure is NaN.
    """
    from scipy.stats import bootstrap

    figure: Statistic = statistic or np.mean
    data = [np.asarray(column, dtype=float) for column in columns]
    n = len(data[0])
    if n == 0:
        return Score(float("nan"), 0, float("nan"), float("nan"))
    value = float(figure(*data, axis=-1))
    if n == 1 or all(np.ptp(column) == 0 for column in data):
        return Score(value, n, value, value)  # nothing varies: the bootstrap is a point
    interval = bootstrap(
        data,
        figure,
        paired=True,
        vectorized=True,
        n_resamples=bench.resamples,
        confidence_level=bench.confidence,
        method="percentile",
        rng=np.random.default_rng(bench.seed),
    ).confidence_interval
    return Score(value, n, float(interval.low), float(interval.high))
