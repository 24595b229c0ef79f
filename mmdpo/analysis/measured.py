"""The judged items of points, as numbers: scores and gains over the same items, with seeds as columns.

All intervals of differences, and those of results with several seeds, come from here (mmdpo.evaluation.crossed).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.study import read_lines
from mmdpo.evaluation.task import WITHOUT_REQUEST, Metric, Statistic, Task, find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmdpo.evaluation.crossed import Estimate

Items = Mapping[str, Mapping[str, Any]]
"""Judgments by item: `score`, `parts`, `words`, `cluster`, `groups`."""


@dataclass(frozen=True)
class Measured:
    """A metric's columns over the scored items of one point.

    Attributes:
        columns: The values of each item by its id, one per argument of the statistic.
        clusters: The cluster of each item by its id.
        statistic: The statistic; None is the mean of a single column.
    """

    columns: dict[str, tuple[float, ...]]
    clusters: dict[str, str]
    statistic: Statistic | None = None


def measure(folder: Path, key: str) -> Measured | None:
    """Read a metric's columns from the judgments of a point.

    Args:
        folder: The folder of the point.
        key: The key of a score: `<task>`, `<task>/<metric>`, `<task>/<kind>/<group>` or `<task>/<group>`, the last two
            with another metric behind them if its name is added.

    Returns:
        The columns; None if no item has them.
    """
    task_name, _, rest = key.partition("/")
    second = rest == WITHOUT_REQUEST
    items = judged_items(folder, f"{task_name}.{rest}" if second else task_name)
    metric, belongs = _metric(find_task(task_name), "" if second else rest)
    return measure_items({name: item for name, item in items.items() if belongs(item)}, metric) if metric else None


def measure_items(items: Items, metric: Metric) -> Measured | None:
    """Return a metric's columns of the scored items that have all of them; None if there is none.

    Args:
        items: Judged items.
        metric: The metric.
    """
    columns, clusters = {}, {}
    for name, item in items.items():
        values = [_value(item, column) for column in metric.columns]
        if _value(item, "score") is not None and None not in values:
            columns[name] = tuple(value for value in values if value is not None)
            clusters[name] = str(item.get("cluster") or name)
    return Measured(columns, clusters, metric.statistic) if columns else None


def judged_items(folder: Path, benchmark: str) -> Items:
    """Read the judgments of a point by the name of their file; in earlier versions answers held them."""
    for name in ("judgments", "answers"):
        path = folder / name / f"{benchmark}.jsonl"
        try:
            status = path.stat()
        except OSError:
            continue
        return _read_items(path, status.st_mtime_ns, status.st_size)
    return {}


def estimate_score(points: Sequence[Measured], confidence: float) -> Estimate:
    """Estimate the score of points that differ only in their seed, over the items that all of them have."""
    from mmdpo.evaluation.crossed import estimate

    ids = common_items(points)
    values, pseudo = table_of_pseudo_values(points, ids)
    return estimate(values, pseudo, len(ids), confidence)


def estimate_gain(
    base: Sequence[Measured], points: Sequence[Measured], confidence: float, same_seeds: bool = False
) -> Estimate | None:
    """Estimate the score of points minus that of others over the items that all of them have.

    Args:
        base: The points that are subtracted; they differ only in their seed.
        points: The points that are compared with them; they differ only in their seed.
        confidence: The level of the interval.
        same_seeds: Whether both have the same seeds, in the same order, so that seeds are paired as well.

    Returns:
        The difference; None if they have no item in common.
    """
    from mmdpo.evaluation.crossed import difference

    ids = common_items([*base, *points])
    if not ids:
        return None
    first, second = table_of_pseudo_values(base, ids), table_of_pseudo_values(points, ids)
    return difference(first, second, len(ids), confidence, same_seeds)


def common_items(points: Sequence[Measured]) -> list[str]:
    """Return the ids of the items that all points have, in the order of the first point."""
    return [name for name in points[0].columns if all(name in other.columns for other in points[1:])]


def table_of_pseudo_values(points: Sequence[Measured], ids: Sequence[str]) -> tuple[list[float], NDArray[Any]]:
    """Return the value of each point over some items, and the pseudo-values [C, S] of their clusters."""
    import numpy as np

    from mmdpo.evaluation.crossed import pseudo_values

    clusters = [points[0].clusters[name] for name in ids]
    values, tables = [], []
    for point in points:
        columns = [*zip(*(point.columns[name] for name in ids), strict=True)]
        value, pseudo = pseudo_values(columns, clusters, point.statistic)
        values.append(value)
        tables.append(pseudo)
    return values, np.stack(tables, axis=1)


@lru_cache(maxsize=2048)
def _read_items(path: Path, mtime: int, size: int) -> Items:
    return {str(line["id"]): line for line in read_lines(path) if "id" in line}


def _metric(task: Task | None, rest: str) -> tuple[Metric | None, Callable[[Mapping[str, Any]], bool]]:
    """Return the metric of a score key behind the task's name, and what tells which items belong to its group."""
    main = task.main if task else Metric("score", ("score",))
    names = {metric.name: metric for metric in task.metrics} if task else {}
    if not rest:
        return main, lambda item: True
    if rest in names:
        return names[rest], lambda item: True
    path = rest.split("/")
    metric = names[path.pop()] if len(path) > 1 and path[-1] in names else main
    kind, group = ("", path[0]) if len(path) == 1 else (path[0], "/".join(path[1:]))
    return metric, lambda item: group in _groups(item, kind)


def _groups(item: Mapping[str, Any], kind: str) -> list[str]:
    groups = item.get("groups")
    found = groups.get(kind, []) if isinstance(groups, dict) else []
    return [found] if isinstance(found, str) else list(found)


def _value(item: Mapping[str, Any], column: str) -> float | None:
    parts = item.get("parts")
    value = item.get(column) if column in ("score", "words") else parts.get(column) if isinstance(parts, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
