"""Scores with bootstrap intervals, over items or over clusters of items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.task import Judgment, Metric, Statistic, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Score:
    """A value, the number of items that it is computed from, and its interval.

    `unscored` counts the items that have no score; they take no part in the value.
    """

    value: float
    n: int
    low: float
    high: float
    unscored: int = 0


def score_json(score: Score) -> dict[str, Any]:
    """Return a score as JSON-able data, with null in place of NaN, which JSON does not have."""
    return {key: None if value != value else value for key, value in asdict(score).items()}


def bootstrap_score(
    columns: Sequence[Sequence[float]],
    bench: BenchConfig,
    statistic: Statistic | None = None,
    clusters: Sequence[str] | None = None,
    unscored: int = 0,
) -> Score:
    """Compute a statistic over items with its percentile bootstrap interval.

    Args:
        columns: One sequence of N numbers per argument of the statistic; items are drawn together across columns.
        bench: `resamples`, `confidence` and `seed` of the bootstrap.
        statistic: A function of the columns; None is the mean of a single column.
        clusters: The cluster of each of the N items. Whole clusters are drawn where items share one; None means that
            every item stands alone.
        unscored: The number of items without a score, to be kept with the result.

    Returns:
        The score; NaN if there is no item.
    """
    import numpy as np

    compute: Statistic = statistic or np.mean
    data = [np.asarray(column, dtype=float) for column in columns]
    n = len(data[0])
    if n == 0:
        return Score(float("nan"), 0, float("nan"), float("nan"), unscored)
    value = float(compute(*data, axis=-1))
    if n == 1 or all(np.ptp(column) == 0 for column in data):
        return Score(value, n, value, value, unscored)  # nothing varies: every resample is the same
    if clusters is not None and len(set(clusters)) < n:
        low, high = _cluster_interval(data, clusters, compute, bench)
    else:
        low, high = _item_interval(data, compute, bench)
    return Score(value, n, low, high, unscored)


def _item_interval(data: list[NDArray[np.float64]], compute: Statistic, bench: BenchConfig) -> tuple[float, float]:
    """Resample items."""
    import numpy as np
    from scipy.stats import bootstrap

    interval = bootstrap(
        data,
        compute,
        paired=True,
        vectorized=True,
        n_resamples=bench.resamples,
        confidence_level=bench.confidence,
        method="percentile",
        rng=np.random.default_rng(bench.seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _cluster_interval(
    data: list[NDArray[np.float64]], clusters: Sequence[str], compute: Statistic, bench: BenchConfig
) -> tuple[float, float]:
    """Resample whole clusters, as many as there are; NaN for a single cluster, whose spread is unknown."""
    import numpy as np

    found: dict[str, list[int]] = {}
    for index, name in enumerate(clusters):
        found.setdefault(name, []).append(index)
    if len(found) == 1:
        return float("nan"), float("nan")
    members = np.full((len(found), max(map(len, found.values()))), -1)  # padded
    for cluster, indices in enumerate(found.values()):
        members[cluster, : len(indices)] = indices
    rng = np.random.default_rng(bench.seed)
    values = []
    for drawn in rng.integers(len(members), size=(bench.resamples, len(members))):
        rows = members[drawn].ravel()
        rows = rows[rows >= 0]
        values.append(float(compute(*(column[rows] for column in data), axis=-1)))
    tail = (1 - bench.confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def summarize(task: Task, judgments: Sequence[Judgment], bench: BenchConfig) -> dict[str, Score]:
    """Compute all scores of a task.

    Args:
        task: The task that the judgments belong to.
        judgments: One per item; items without a score are counted and left out.
        bench: The settings of the bootstrap.

    Returns:
        The scores by name. The main metric has the empty name, other metrics their own, and the main metric of a
        group `<kind>/<group>`; a kind with a single group is left out.
    """
    scores = {"": _compute(task.main, judgments, bench)}
    scores |= {metric.name: _compute(metric, judgments, bench) for metric in task.metrics if metric != task.main}
    for kind, group in _groups(task, judgments):
        members = [item for item in judgments if group in groups_of(item, kind)]
        name = f"{kind}/{group}".lstrip("/")
        scores[name] = _compute(task.main, members, bench)
        for metric in task.metrics:
            if metric.name in task.group_metrics:
                scores[f"{name}/{metric.name}"] = _compute(metric, members, bench)
    return scores


def _compute(metric: Metric, judgments: Sequence[Judgment], bench: BenchConfig) -> Score:
    """Compute a metric over the scored items that have its columns."""
    scored = [item for item in judgments if item.score is not None]
    items = [item for item in scored if all(_has(item, column) for column in metric.columns)]
    columns = [[_value(item, column) for item in items] for column in metric.columns]
    clusters = [item.cluster for item in items]
    return bootstrap_score(columns, bench, metric.statistic, clusters, len(judgments) - len(scored))


def groups_of(judgment: Judgment, kind: str) -> list[str]:
    """Return the names of an item's groups of a kind."""
    found = judgment.groups.get(kind, [])
    return [name for name in ([found] if isinstance(found, str) else found) if name]


def _groups(task: Task, judgments: Sequence[Judgment]) -> Iterator[tuple[str, str]]:
    for kind in task.groups:
        names = sorted({name for judgment in judgments for name in groups_of(judgment, kind)})
        yield from ((kind, name) for name in names if len(names) > 1 or not kind)


def _has(judgment: Judgment, column: str) -> bool:
    return column in ("score", "words") or column in judgment.parts


def _value(judgment: Judgment, column: str) -> float:
    if column == "score":
        return float("nan") if judgment.score is None else judgment.score
    return float(judgment.words) if column == "words" else judgment.parts[column]
