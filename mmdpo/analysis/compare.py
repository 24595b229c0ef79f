"""Paired comparison of results with a reference over the same items, over seeds and items together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.gains import GainVerdict, holm, verdict_of, with_same_seeds
from mmdpo.analysis.groups import Group
from mmdpo.analysis.items import Items, read_items
from mmdpo.analysis.label_lines import COMPARED, MILD, label_counts
from mmdpo.analysis.labels import sign
from mmdpo.analysis.measured import common_items, estimate_gain, measure_items
from mmdpo.analysis.selection import Selection
from mmdpo.analysis.study import confidence_of
from mmdpo.errors import UserError
from mmdpo.evaluation.task import Metric, Task, find_task, in_order
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

SCORE, WORDS = "score", "words"
OVERRIDES = {
    "judge": "bench.judge",
    "rubric": "bench.judge",
    "edition": "bench.files",
    "judge_temperature": "bench.judge",
}
"""The override that makes a kind of label equal, where it is not `bench.<kind>`."""


@dataclass(frozen=True)
class Difference:
    """A result minus the reference over the items of one benchmark.

    Attributes:
        benchmark: The name of the items' file.
        part: Empty for the main metric of a benchmark, else a part of it, the mean `score`, or `words`.
        estimate: The difference; its interval and p value are not corrected.
        wins: Items on which the result is better, by the task's metrics, as means over seeds; higher where no direction
            is declared. None for a metric that items have no value of; so are ties and losses.
        ties: Items with equal values.
        losses: Items on which the reference is better.
        verdict: The verdict on the main metric, corrected for all main metrics of the comparison; None for parts.
    """

    benchmark: str
    part: str
    estimate: Estimate
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    verdict: GainVerdict | None = None


@dataclass(frozen=True)
class ResultComparison:
    """All differences of one result from the reference.

    Attributes:
        group: The result.
        differences: Its differences, main metrics before their parts.
        notes: What was left out or could not be compared.
    """

    group: Group
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The comparison of results with a reference.

    Attributes:
        reference: The reference.
        results: The compared results.
        comparisons: The number of main metrics that verdicts are corrected for.
        confidence: The level of the intervals.
        left_out: The names of points without scores.
    """

    reference: Group
    results: tuple[ResultComparison, ...]
    comparisons: int
    confidence: float
    left_out: tuple[str, ...] = ()


def compare(selection: Selection, parts: bool | None = None) -> Comparison:
    """Compare the judged answers of results item by item.

    Args:
        selection: The reference and the results.
        parts: Whether to compare the parts of scores as well; None compares them for a single result.

    Raises:
        UserError: No result has a benchmark that can be compared with the reference's.
    """
    with_parts = len(selection.others) == 1 if parts is None else parts
    confidence = confidence_of([*selection.reference.rows, *(row for group in selection.others for row in group.rows)])
    reference = [read_items(row.folder) for row in selection.reference.rows]
    results, problems = [], []
    for group in selection.others:
        try:
            results.append(_compare(selection.reference, group, reference, with_parts, confidence))
        except UserError as error:
            problems.append(str(error))
            results.append(ResultComparison(group, (), (f"not compared: {error}",)))
    if len(problems) == len(results):
        raise UserError(problems[0])
    return _with_verdicts(Comparison(selection.reference, tuple(results), 0, confidence, selection.left_out))


def _with_verdicts(comparison: Comparison) -> Comparison:
    """Return the comparison with verdicts on its main metrics, corrected for their number."""
    family = [one for result in comparison.results for one in result.differences if _is_main(one)]
    corrected = dict(zip(map(id, family), holm([one.estimate.p for one in family]), strict=True))
    level = 1 - comparison.confidence

    def judged(one: Difference) -> Difference:
        if id(one) not in corrected:
            return one
        return replace(
            one, verdict=verdict_of(one.benchmark.partition(".")[0], one.estimate, corrected[id(one)], level)
        )

    results = tuple(
        replace(result, differences=tuple(map(judged, result.differences))) for result in comparison.results
    )
    return replace(comparison, results=results, comparisons=len(family))


def _is_main(one: Difference) -> bool:
    return not one.part and "." not in one.benchmark and not math.isnan(one.estimate.p)


def _compare(
    a: Group,
    b: Group,
    items_a: Sequence[dict[str, Items]],
    parts: bool,
    confidence: float,
) -> ResultComparison:
    """Compare one result with the reference. Raises UserError if no benchmark can be compared."""
    in_order = with_same_seeds(a.rows, b.rows)
    rows_b = in_order or b.rows
    items_b = [read_items(row.folder) for row in rows_b]
    names_a, names_b = (_in_order({name for items in side for name in items}) for side in (items_a, items_b))
    shared = [name for name in names_a if all(name in items for items in (*items_a, *items_b))]
    if not shared:
        raise UserError(
            f"no benchmark in common: {a.rows[0].point} has {', '.join(names_a) or 'no answers'}, "
            f"{b.rows[0].point} has {', '.join(names_b) or 'no answers'}."
        )
    differing = {name: found for name in shared if (found := _differing_labels(a, b, name.partition(".")[0]))}
    described = [f"{name} ({', '.join(found.values())})" for name, found in differing.items()]
    if len(differing) == len(shared):
        kinds = dict.fromkeys(OVERRIDES.get(kind, f"bench.{kind}") for found in differing.values() for kind in found)
        raise UserError(
            f"{a.rows[0].point} and {b.rows[0].point} were measured differently: {'; '.join(described)}. Measure both "
            f"with the same {', '.join(f'{key}=' for key in kinds)}."
        )
    is_imported = Role.imported in (a.role, b.role)
    differences: list[Difference] = []
    unanswered = unscored = 0
    for name in (name for name in shared if name not in differing):
        sides = [[one[name] for one in items] for items in (items_a, items_b)]
        every = [*sides[0], *sides[1]]
        common = set.intersection(*(set(one) for one in every))
        if is_imported:
            unanswered += len(set.union(*(set(one) for one in every)) - common)
            every = [{key: one[key] for key in one if key in common} for one in every]
        for row, one in zip((*a.rows, *rows_b), every, strict=True):
            _check_same_items(name, a.rows[0].point, every[0], row.point, one)
        judged = [key for key in common if any(SCORE in one[key] for one in every)]
        unscored += sum(any(_number(one[key], SCORE) is None for one in every) for key in judged)
        compute = partial(_difference, name, sides, in_order is not None, confidence)
        differences += filter(None, (compute(part, metric) for part, metric in _metrics(name, every[0], parts)))
    notes = [
        f"{unscored} items without a score in one of the two are left out" if unscored else "",
        f"{unanswered} items that only one of the two has are left out: one is an imported row" if unanswered else "",
        f"not compared, since they were measured differently: {', '.join(described)}" if described else "",
        f"measured for one of the two only: {', '.join(skipped)}"
        if (skipped := _in_order({*names_a, *names_b} - {*shared}))
        else "",
    ]
    return ResultComparison(b, tuple(differences), tuple(filter(None, notes)))


def _differing_labels(a: Group, b: Group, task: str) -> dict[str, str]:
    """Return the kinds of labels in which two results differ for a task, each with the values."""
    rows = [*a.rows, *b.rows]
    counts = {kind: label_counts(rows, task, kind) for kind in COMPARED if kind not in MILD}
    return {kind: f"{kind} {' and '.join(found)}" for kind, found in counts.items() if len(found) > 1}


def _metrics(name: str, items: Items, parts: bool) -> Iterator[tuple[str, Metric]]:
    """Yield the main metric of a file of items and, if asked for, its parts."""
    task = find_task(name.partition(".")[0])
    main = task.main if task else Metric(SCORE, (SCORE,))
    yield "", main
    if parts:
        found = dict.fromkeys(part for item in items.values() for part in item.get("parts") or {})
        shown = [part for part in found if part not in serving_parts(task)]
        for part in (*([SCORE] if main.columns != (SCORE,) else []), *shown, WORDS):
            if (part,) != main.columns:
                yield part, Metric(part, (part,))


def _difference(
    name: str,
    sides: Sequence[Sequence[Items]],
    same_seeds: bool,
    confidence: float,
    part: str,
    metric: Metric,
) -> Difference | None:
    """Compute the difference in one metric; None if a point has no value of it, or no item is common."""
    measured = [[measure_items(items, metric) for items in side] for side in sides]
    a, b = ([one for one in side if one is not None] for side in measured)
    if len(a) < len(sides[0]) or len(b) < len(sides[1]):
        return None
    estimate = estimate_gain(a, b, confidence, same_seeds)
    if estimate is None:
        return None
    if metric.statistic is not None:
        return Difference(name, part, estimate)
    task = find_task(name.partition(".")[0])
    better = _sign(task, part) if part else sign(name.partition(".")[0])
    ids = common_items([*a, *b])
    before, after = (sum(one.of(ids)[0] for one in side) / len(side) for side in (a, b))
    gains = (better * (after - before)).tolist()
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return Difference(name, part, estimate, wins, len(gains) - wins - losses, losses)


def serving_parts(task: Task | None) -> set[str]:
    """Return the columns that no metric of a task shows alone."""
    metrics = task.metrics if task else ()
    alone = {metric.columns[0] for metric in metrics if len(metric.columns) == 1}
    return {column for metric in metrics for column in metric.columns} - alone


def _check_same_items(benchmark: str, a: str, of_a: Items, b: str, of_b: Items) -> None:
    for name, only in ((a, of_a.keys() - of_b.keys()), (b, of_b.keys() - of_a.keys())):
        if only:
            raise UserError(
                f"different items in {benchmark}: {len(only)} only in {name}, such as {min(only)!r}. "
                "Measure both points with the same bench=, bench.items, bench.split and bench.seed."
            )
    changed = [key for key in of_a if of_a[key].get("question") != of_b[key].get("question")]
    if changed:
        raise UserError(
            f"different items in {benchmark}: {min(changed)!r} asks another question in {a} than in {b}, "
            f"as do {len(changed) - 1} more."
        )


def _in_order(names: set[str]) -> list[str]:
    """Sort files of items by the order of their tasks, second phrasings behind the first."""
    tasks = in_order(sorted({name.partition(".")[0] for name in names}))
    return sorted(names, key=lambda name: (tasks.index(name.partition(".")[0]), name))


def _sign(task: Task | None, part: str) -> int:
    """Return -1 for a part of which less is better, by the metric that is its mean; else 1."""
    metrics = task.metrics if task else ()
    return -1 if any(one.columns == (part,) and one.higher_is_better is False for one in metrics) else 1


def _number(item: Mapping[str, Any], part: str) -> float | None:
    value = item.get(part)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
