"""The judged items of points, as numbers: scores and gains over the same items, with seeds as columns.

All intervals of differences, and those of results with several seeds, come from here (mmdpo.evaluation.crossed).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.study import read_lines
from mmdpo.evaluation.sums import mean
from mmdpo.evaluation.task import WITHOUT_REQUEST, Metric, Statistic, Task, find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmdpo.evaluation.crossed import Estimate

MINUS = "minus_"
"""Beginning of the part of a score key that names the task whose scores are subtracted."""

OF_ITEM = ("score", "words")
"""Columns that are values of a judgment itself; others are among its parts."""

Items = Mapping[str, Mapping[str, Any]]
"""Judgments by item: `score`, `parts`, `words`, `cluster`, `groups`."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A metric's columns over the scored items of one point.

    Attributes:
        ids: The ids of the items, [N].
        columns: The values of the items, [K, N], one row per argument of the statistic.
        clusters: The name of the cluster of each item, [N].
        statistic: The statistic of the columns.
    """

    ids: tuple[str, ...]
    columns: NDArray[Any]
    clusters: tuple[str, ...]
    statistic: Statistic = mean

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each item."""
        return {name: place for place, name in enumerate(self.ids)}

    def of(self, ids: Sequence[str]) -> NDArray[Any]:
        """Return the columns [K, N] of some items, in their order."""
        return self.columns if ids is self.ids else self.columns[:, [self.index[name] for name in ids]]


def measure(folder: Path, key: str) -> Measured | None:
    """Read a metric's columns from the judgments of a point.

    Args:
        folder: The folder of the point.
        key: The key of a score: `<task>`, `<task>/<metric>`, `<task>/<kind>/<group>` or `<task>/<group>`, the last two
            with another metric behind them if its name is added; or `<task>/minus_<other>`, the difference of scores of
            the items that two tasks share.

    Returns:
        The columns; None if no item has them.
    """
    task_name, _, rest = key.partition("/")
    if rest.startswith(MINUS):
        return _minus(measure(folder, task_name), measure(folder, rest.removeprefix(MINUS)))
    second = rest == WITHOUT_REQUEST
    found = _judgments_file(folder, f"{task_name}.{rest}" if second else task_name)
    return _measure(*found, task_name, "" if second else rest) if found else None


def _minus(one: Measured | None, other: Measured | None) -> Measured | None:
    """Subtract the scores of another task, item by item."""
    ids = common_items([one, other]) if one and other else ()
    if one is None or other is None or not ids:
        return None
    clusters = tuple(one.clusters[one.index[name]] for name in ids)
    return Measured(_shared(tuple(ids)), one.of(ids) - other.of(ids), _shared(clusters))


@lru_cache(maxsize=1024)  # those of a large study: gains and the importance of axes read them
def _measure(path: Path, mtime: int, size: int, task: str, rest: str) -> Measured | None:
    metric, belongs = _metric(find_task(task), rest)
    items = _read_items(path, mtime, size)
    return measure_items({name: item for name, item in items.items() if belongs(item)}, metric) if metric else None


def measure_items(items: Items, metric: Metric) -> Measured | None:
    """Return a metric's columns over the scored items that have all of them; None if there is none.

    Args:
        items: Judged items by their ids.
        metric: The metric.
    """
    import numpy as np

    rows: list[list[float]] = []
    ids, clusters = [], []
    for name, item in items.items():
        if _number(item.get("score")) is None:
            continue
        parts = item.get("parts")
        parts = parts if isinstance(parts, dict) else {}
        found = [_number((item if column in OF_ITEM else parts).get(column)) for column in metric.columns]
        values = [value for value in found if value is not None]
        if len(values) == len(found):
            rows.append(values)
            ids.append(name)
            clusters.append(str(item.get("cluster") or name))
    if not rows:
        return None
    names = _shared(tuple(ids)), _shared(tuple(clusters))
    return Measured(names[0], np.array(rows).T.copy(), names[1], metric.statistic or mean)


def judged_items(folder: Path, benchmark: str) -> Items:
    """Read the judgments of a point by the name of their file; in earlier versions answers held them."""
    found = _judgments_file(folder, benchmark)
    return _read_items(*found) if found else {}


def _judgments_file(folder: Path, benchmark: str) -> tuple[Path, int, int] | None:
    """Return the file of a point's judgments, its time and its size; None if there is none."""
    for name in ("judgments", "answers"):
        path = folder / name / f"{benchmark}.jsonl"
        with contextlib.suppress(OSError):
            status = path.stat()
            return path, status.st_mtime_ns, status.st_size
    return None


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
    codes, count = _clusters([*base, *points], ids)
    first, second = _table(base, ids, codes, count), _table(points, ids, codes, count)
    columns = base[0].of(ids)
    differs = sum((columns != other.of(ids)).any(axis=0) for other in [*base[1:], *points])
    differing = len(set(codes[differs > 0].tolist()))
    return difference(first, second, len(ids), confidence, same_seeds, differing)


def common_items(points: Sequence[Measured]) -> Sequence[str]:
    """Return the ids of the items that all points have, in the order of the first point."""
    first, *others = points
    others = [other for other in others if other.ids != first.ids]
    return [name for name in first.ids if all(name in other.index for other in others)] if others else first.ids


def table_of_pseudo_values(points: Sequence[Measured], ids: Sequence[str]) -> tuple[list[float], NDArray[Any]]:
    """Return the value of each point over some items, and the pseudo-values [C, S] of their clusters."""
    return _table(points, ids, *_clusters(points, ids))


def _table(
    points: Sequence[Measured], ids: Sequence[str], codes: NDArray[Any], count: int
) -> tuple[list[float], NDArray[Any]]:
    import numpy as np

    from mmdpo.evaluation.crossed import jackknife

    found = [jackknife(list(point.of(ids)), codes, count, point.statistic) for point in points]
    return [value for value, _ in found], np.stack([pseudo for _, pseudo in found], axis=1)


def _clusters(points: Sequence[Measured], ids: Sequence[str]) -> tuple[NDArray[Any], int]:
    """Number the clusters of items; of points that name them otherwise, the one with the fewest clusters counts."""
    named = {id(point.clusters): point for point in points}.values()
    numbered = [
        _codes(point.clusters if ids is point.ids else tuple(point.clusters[point.index[name]] for name in ids))
        for point in named
    ]
    return min(numbered, key=lambda found: found[1])


@lru_cache(maxsize=32)
def _codes(clusters: tuple[str, ...]) -> tuple[NDArray[Any], int]:
    from mmdpo.evaluation.crossed import cluster_codes

    return cluster_codes(clusters)


@lru_cache(maxsize=32)
def _read_items(path: Path, mtime: int, size: int) -> Items:
    return {str(line["id"]): line for line in read_lines(path) if "id" in line}


@lru_cache(maxsize=256)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first of equal tuples, so that points of a study hold the names of their items once."""
    return names


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


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
