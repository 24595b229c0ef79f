"""Paired comparison of two points over the same items, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.items import Items, read_items
from mmdpo.analysis.label_lines import judge_names, result_label
from mmdpo.analysis.metric_differences import metric_difference, serving_parts
from mmdpo.console import markup_safe
from mmdpo.errors import UserError
from mmdpo.evaluation.task import Task, find_task, in_order
from mmdpo.files import Unreadable
from mmdpo.points.identity import Role
from mmdpo.points.results import read_result

if TYPE_CHECKING:
    from rich.table import Table

    from mmdpo.config.schema import BenchConfig

RESAMPLES = 9999
CONFIDENCE = 0.95
SEED = 0
SCORE, WORDS = "score", "words"


@dataclass(frozen=True)
class Difference:
    """B minus A over the items of one benchmark.

    Attributes:
        benchmark: The name of the items' file.
        part: `score`, a part of it, `words`, the answer's length, or a main metric that is no mean over items.
        mean: The mean difference.
        low: The lower end of its interval; NaN for a single item.
        high: The upper end.
        n: The number of items that both points have a value of.
        wins: Items on which B is better, by the task's metrics; higher where no direction is declared. None for a
            metric that items have no value of; so are ties and losses.
        ties: Items with equal values.
        losses: Items on which A is better.
    """

    benchmark: str
    part: str
    mean: float
    low: float
    high: float
    n: int
    wins: int | None
    ties: int | None
    losses: int | None


@dataclass(frozen=True)
class Comparison:
    """All differences of two points.

    `skipped` names benchmarks that only one of them has, and `other_judges` those whose judges differ; `unscored`
    counts items that one of them has no score of, and `unanswered` those that only one has, if the other is an imported
    row.
    """

    a: str
    b: str
    judge: str
    differences: tuple[Difference, ...]
    skipped: tuple[str, ...] = ()
    unscored: int = 0
    unanswered: int = 0
    other_judges: tuple[str, ...] = ()


def compare(a: Path, b: Path) -> Comparison:
    """Compare the judged answers of two points item by item.

    Raises:
        UserError: A point is not finished, or the points have different items, or another judge for every benchmark.
    """
    results = {folder: _result(folder) for folder in (a, b)}
    items_a, items_b = read_items(a), read_items(b)
    shared = [name for name in _in_order(items_a) if name in items_b]
    if not shared:
        raise UserError(
            f"no benchmark in common: {a.name} has {', '.join(items_a) or 'no answers'}, "
            f"{b.name} has {', '.join(items_b) or 'no answers'}."
        )
    judges = {name: judge_names([result_label(results[one], _task_name(name)) for one in (a, b)]) for name in shared}
    different = [name for name in shared if len(set(judges[name])) > 1]
    if different == shared:
        judge_a, judge_b = judges[shared[0]]
        raise UserError(
            f"different judges: {a.name} was rated by {judge_a!r}, {b.name} by {judge_b!r}. "
            "Scores of different judges cannot be compared; judge both with the same bench.judge=."
        )
    shared = [name for name in shared if name not in different]
    differences: list[Difference] = []
    unscored = unanswered = 0
    imported = any(read_result(folder).get("role") == Role.imported for folder in (a, b))
    for benchmark in shared:
        of_a, of_b = items_a[benchmark], items_b[benchmark]
        if imported:
            unanswered += len(of_a.keys() ^ of_b.keys())
            of_a, of_b = _in_both(of_a, of_b), _in_both(of_b, of_a)
        _check_same_items(benchmark, a.name, of_a, b.name, of_b)
        pairs = [(item, of_b[key]) for key, item in sorted(of_a.items()) if SCORE in item or SCORE in of_b[key]]
        unscored += sum(_number(x, SCORE) is None or _number(y, SCORE) is None for x, y in pairs)
        differences += _differences(benchmark, pairs)
    return Comparison(
        a.name,
        b.name,
        ", ".join(dict.fromkeys(filter(None, (judges[name][0] for name in shared)))) or "none",
        tuple(differences),
        tuple(sorted(items_a.keys() ^ items_b.keys())),
        unscored,
        unanswered,
        tuple(f"{name} ({' and '.join(judges[name])})" for name in different),
    )


def paired_interval(differences: Sequence[float], clusters: Sequence[str] | None = None) -> tuple[float, float]:
    """Compute the percentile bootstrap interval (95 %, seeded) of the mean of per-item differences.

    Args:
        differences: One number per item.
        clusters: The cluster of each item, where whole clusters are drawn; None for items that stand alone.

    Returns:
        The ends of the interval; NaN for a single item or cluster.
    """
    from mmdpo.evaluation.statistics import bootstrap_score

    if len(differences) < 2:
        return math.nan, math.nan
    found = bootstrap_score([differences], _settings(), clusters=clusters)
    return found.low, found.high


def _settings() -> BenchConfig:
    from mmdpo.config.schema import BenchConfig

    return BenchConfig(resamples=RESAMPLES, confidence=CONFIDENCE, seed=SEED)


def comparison_table(comparison: Comparison) -> Table:
    """Make a table of the differences; those whose interval excludes 0 are bold."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"A: {markup_safe(comparison.a)}\nB: {markup_safe(comparison.b)}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("benchmark", "part"):
        table.add_column(heading)
    for heading in ("B − A", "95 % interval", "n", "B wins", "ties", "A wins"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = ""
    for d in comparison.differences:
        if previous and d.benchmark != previous:
            table.add_section()
        interval = "–" if math.isnan(d.low) else f"[{d.low:+.2f}, {d.high:+.2f}]"
        name = d.benchmark if d.benchmark != previous else ""
        cells = [name, d.part, f"{d.mean:+.2f}", interval, str(d.n), *(_count(x) for x in (d.wins, d.ties, d.losses))]
        clear = not math.isnan(d.low) and not d.low <= 0 <= d.high
        table.add_row(*map(markup_safe, cells), style="bold" if clear else "")
        previous = d.benchmark
    return table


def _count(value: int | None) -> str:
    return "–" if value is None else str(value)


def comparison_notes(comparison: Comparison) -> list[str]:
    """Return the notes below the table."""
    lines = [
        f"paired bootstrap over items, {RESAMPLES} resamples, seed {SEED}; judge: {comparison.judge}",
        "bold: the interval excludes 0 (no correction for the number of rows)",
    ]
    if comparison.unscored:
        lines.append(f"{comparison.unscored} items without a score in one of the two are left out")
    if comparison.unanswered:
        lines.append(f"{comparison.unanswered} items that only one of the two has are left out: one is an imported row")
    if comparison.other_judges:
        lines.append(f"not compared, since their judges differ: {', '.join(comparison.other_judges)}")
    if comparison.skipped:
        lines.append(f"measured for one of the two only: {', '.join(comparison.skipped)}")
    return lines


def _result(folder: Path) -> dict[str, Any]:
    try:
        return read_result(folder)
    except FileNotFoundError:
        raise UserError(f"{folder} has no result.json: finish the point with stage=judge, or name another") from None
    except Unreadable as error:
        raise UserError(f"{folder}: {error}; rerun the same command to make the point again") from None


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


def _in_both(own: Items, other: Items) -> Items:
    return {key: item for key, item in own.items() if key in other}


def _differences(benchmark: str, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[Difference]:
    parts = dict.fromkeys(part for x, _ in pairs for part in (x.get("parts") or {}))
    task = _task(benchmark)
    found = []
    if task and task.main.statistic and (main := metric_difference(task.main, pairs, _number, _cluster, _settings())):
        found.append(Difference(benchmark, task.main_metric, main.value, main.low, main.high, main.n, None, None, None))
    for part in (SCORE, *(part for part in parts if part not in serving_parts(task)), WORDS):
        values = [(_number(x, part), _number(y, part), _cluster(x)) for x, y in pairs]
        known = [(y - x, cluster) for x, y, cluster in values if x is not None and y is not None]
        if not known:
            continue
        deltas, clusters = zip(*known, strict=True)
        low, high = paired_interval(deltas, clusters)
        gains = [_sign(task, part) * delta for delta in deltas]
        wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        ties, mean = len(gains) - wins - losses, sum(deltas) / len(deltas)
        found.append(Difference(benchmark, part, mean, low, high, len(gains), wins, ties, losses))
    return found


def _in_order(items: Mapping[str, Any]) -> list[str]:
    """Sort files of items by the order of their tasks, second phrasings behind the first."""
    tasks = in_order(list(dict.fromkeys(name.partition(".")[0] for name in items)))
    return sorted(items, key=lambda name: (tasks.index(name.partition(".")[0]), name))


def _task(benchmark: str) -> Task | None:
    return find_task(_task_name(benchmark))


def _task_name(benchmark: str) -> str:
    """Return the task of a file of items, whose name may have the name of a second phrasing behind a dot."""
    return benchmark.partition(".")[0]


def _sign(task: Task | None, part: str) -> int:
    """Return -1 for a part of which less is better, by the metric that is its mean; else 1."""
    metrics = task.metrics if task else ()
    return -1 if any(one.columns == (part,) and one.higher_is_better is False for one in metrics) else 1


def _cluster(item: dict[str, Any]) -> str:
    """Return the item's cluster; items of earlier versions stand alone."""
    return str(item.get("cluster") or item["id"])


def _number(item: dict[str, Any], part: str) -> float | None:
    value = item.get(part) if part in (SCORE, WORDS) else (item.get("parts") or {}).get(part)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None
