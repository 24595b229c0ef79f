"""Paired difference of a metric that is no mean of one value per item, such as F1, and the parts that only serve it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdpo.config.schema import BenchConfig
    from mmdpo.evaluation.statistics import Score
    from mmdpo.evaluation.task import Metric, Task

Item = dict[str, Any]


def serving_parts(task: Task | None) -> set[str]:
    """Return the columns that no metric of a task shows alone."""
    metrics = task.metrics if task else ()
    alone = {metric.columns[0] for metric in metrics if len(metric.columns) == 1}
    return {column for metric in metrics for column in metric.columns} - alone


def metric_difference(
    metric: Metric,
    pairs: Sequence[tuple[Item, Item]],
    number: Callable[[Item, str], float | None],
    cluster: Callable[[Item], str],
    settings: BenchConfig,
) -> Score | None:
    """Compute the metric of the second items minus that of the first, over pairs that have all of its columns.

    Args:
        metric: A metric with a statistic.
        pairs: The items of both points.
        number: Return an item's value of a column.
        cluster: Return an item's cluster; whole clusters are drawn.
        settings: The settings of the bootstrap.

    Returns:
        The difference; None if no item has the columns.
    """
    from mmdpo.evaluation.statistics import bootstrap_score

    rows: list[list[float]] = []
    clusters = []
    for first, second in pairs:
        values = [number(item, column) for item in (first, second) for column in metric.columns]
        if (known := [value for value in values if value is not None]) and len(known) == len(values):
            rows.append(known)
            clusters.append(cluster(first))
    if not rows or metric.statistic is None:
        return None
    statistic, half = metric.statistic, len(metric.columns)

    def compute(*columns: Any, axis: int = -1) -> Any:
        return statistic(*columns[half:], axis=axis) - statistic(*columns[:half], axis=axis)

    columns = [*zip(*rows, strict=True)]
    found = bootstrap_score(columns, settings, compute, clusters)
    return None if math.isnan(found.value) else found
