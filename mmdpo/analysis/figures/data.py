"""The data of figures, without drawing: the axes that vary, and points merged over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mmdpo.analysis.gain_cache import GainCache
from mmdpo.analysis.gains import gain_over, holm
from mmdpo.analysis.groups import Group, base_of, groups, references, varying_but_seed
from mmdpo.analysis.labels import row_label, sign
from mmdpo.analysis.study import Row, Study, read_metrics, sort_key
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role
from mmdpo.points.status import State

MAX_SERIES = 8
MAX_BLOCKS = 4  # heat-maps side by side
METRICS = ("loss", "rewards/margins", "rewards/accuracies")
TRAINED = (State.done, State.trained, State.answered)
"""The states of points whose training has ended well."""


@dataclass(frozen=True)
class Pattern:
    """The form of a study's main picture.

    Attributes:
        kind: One of `rounds`, `scaling`, `curve`, `grid`, `rows` and `nothing`.
        x: The axis that scores are drawn against.
        y: The second axis of a heat-map.
        by: The axes that distinguish series.
    """

    kind: str
    x: str = ""
    y: str = ""
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dot:
    """One point of a line.

    Attributes:
        x: The value of the axis.
        score: The score.
        seeds: The scores of its seeds if there are several.
        gain: The ends of the interval of the gain over the base, beside the score; None without such a gain.
    """

    x: float
    score: Score
    seeds: tuple[float, ...] = ()
    gain: tuple[float, float] | None = None


@dataclass(frozen=True)
class Series:
    """One line."""

    label: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class ReferenceLine:
    """A dashed line: a model that was not trained, or a point without a value on the x-axis."""

    label: str
    role: str
    score: Score


@dataclass(frozen=True)
class Panel:
    """One benchmark against one axis."""

    benchmark: str
    x: str
    series: tuple[Series, ...]
    references: tuple[ReferenceLine, ...]


class Mark(Enum):
    """Comparison of a cell of a heat-map with the best one, on the same items."""

    best = "best"
    close = "not distinguishable from the best"
    other = ""


@dataclass(frozen=True)
class Block:
    """One heat-map, `cells[y][x]`; colours are centred on the score of `base`.

    `marks[y][x]` says how a cell compares with the best one of its benchmark.
    """

    benchmark: str
    label: str
    xs: tuple[Any, ...]
    ys: tuple[Any, ...]
    cells: tuple[tuple[Score | None, ...], ...]
    base: Score | None
    marks: tuple[tuple[Mark, ...], ...] = ()


@dataclass(frozen=True)
class Curve:
    """A result's logged values of one metric.

    Attributes:
        label: The values of the axes that distinguish the result.
        state: The state of its points.
        steps: The optimizer steps.
        values: The values; of several seeds, their means over the steps that all of them have logged.
        low: The lowest value of the seeds at each step; empty for a single seed.
        high: The highest value.
        score: The mean score of the first benchmark; NaN without one.
    """

    label: str
    state: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    score: float = math.nan


def pattern(study: Study) -> Pattern:
    """Choose the form of picture that suits the finished points."""
    done = _done(study)
    if not any(row.scores for row in study.rows):
        return Pattern("nothing")
    keys = drawn_keys(study)
    if "round" in keys:
        by = tuple(key for key in keys if key != "round")
        return Pattern("rounds", "round", by=by) if _count(done, by) <= MAX_SERIES else _rows(keys)
    if "data_scale" in keys or (_one_scale_below_all(done) and study.of_role(Role.base)):
        by = tuple(key for key in keys if key != "data_scale")
        return Pattern("scaling", "data_scale", by=by) if _count(done, by) <= MAX_SERIES else _rows(keys)
    numeric = [key for key in keys if _is_numeric(done, key)]
    if len(numeric) == 1:
        by = tuple(key for key in keys if key != numeric[0])
        return Pattern("curve", numeric[0], by=by) if _count(done, by) <= MAX_SERIES else _rows(keys)
    if len(numeric) >= 2:
        x, y = numeric[:2]
        by = tuple(key for key in keys if key not in (x, y))
        cells = len(_values(done, x)) * len(_values(done, y)) * _count(done, by)
        if _count(done, by) <= MAX_BLOCKS and 2 * _count(done, (x, y, *by)) >= cells:
            return Pattern("grid", x, y, by)
    return _rows(keys)


def drawn_keys(study: Study) -> list[str]:
    """Return the axes and settings that vary, apart from the seed and from what follows from the method."""
    done = _done(study)
    keys = [key for key in study.varying if key != "seed" and _count(done, (key,)) > 1]
    return [key for key in keys if key == "method" or "method" not in keys or not _follows_method(done, key)]


def dot_rows(study: Study, pattern: Pattern) -> list[Group]:
    """Return the rows of a dot chart: reference models, then groups of points.

    If all finished points are alike, as after pruning, they are named as in the tables.
    """
    keys = [key for key in (pattern.x, pattern.y) if key] + list(pattern.by)
    return [*references(study), *groups(study, [key for key in drawn_keys(study) if key in keys] or None)]


def score_panels(study: Study, pattern: Pattern, benchmarks: Sequence[str] | None = None) -> list[Panel]:
    """Return one panel per benchmark: scores against `pattern.x`, a series per value of `pattern.by`.

    Args:
        study: The study.
        pattern: The form of the picture.
        benchmarks: The benchmarks to show; None shows all of the study.
    """
    return [_panel(study, pattern, name) for name in (study.benchmarks if benchmarks is None else benchmarks)]


def _gain_interval(
    study: Study, group: Group, benchmark: str, score: Score, cache: GainCache
) -> tuple[float, float] | None:
    base = base_of(study, group)
    gain = gain_over(base, group, benchmark, study.confidence, cache) if base else None
    if gain is None or math.isnan(gain.low):
        return None
    return score.value - gain.value + gain.low, score.value - gain.value + gain.high


def _panel(study: Study, pattern: Pattern, benchmark: str) -> Panel:
    lines: dict[tuple[Any, ...], list[Dot]] = {}
    labels: dict[tuple[Any, ...], str] = {}
    dashed = [
        ReferenceLine(group.label, group.role, score)
        for group in references(study)
        if (score := group.score(benchmark)) is not None
    ]
    cache = GainCache(study.folder)
    bases = [reference for reference in dashed if reference.role == Role.base]
    for group in groups(study, (*pattern.by, pattern.x)):
        score, x = group.score(benchmark), group.value(pattern.x)
        if score is None:
            continue
        if x is None:
            dashed.append(ReferenceLine(row_label(group.rows[0], pattern.by), Role.trained, score))
            continue
        key = tuple(group.value(key) for key in pattern.by)
        labels[key] = row_label(group.rows[0], pattern.by)
        line = lines.setdefault(key, [])
        if not line and pattern.kind in ("scaling", "rounds") and len(bases) == 1:
            line.append(Dot(0.0, bases[0].score))
        gain = _gain_interval(study, group, benchmark, score, cache)
        line.append(Dot(float(x), score, tuple(group.seeds(benchmark)), gain))
    if pattern.kind == "rounds":
        lines = _with_shared_rounds(lines)
    series = [Series(labels[key], tuple(sorted(dots, key=lambda dot: dot.x))) for key, dots in lines.items()]
    return Panel(benchmark, pattern.x, tuple(series), tuple(dashed))


def _with_shared_rounds(lines: dict[tuple[Any, ...], list[Dot]]) -> dict[tuple[Any, ...], list[Dot]]:
    """Return the lines of chains: a first round without values of some settings is that of all chains with such."""
    found: dict[tuple[Any, ...], list[Dot]] = {}
    shared = {key for key in lines for other in lines if key != other and _is_first_of(key, other)}
    for key, dots in lines.items():
        if key not in shared:
            more = [dot for one in shared if _is_first_of(one, key) for dot in lines[one] if dot.x]
            found[key] = [*dots, *more]
    return found


def _is_first_of(key: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return whether a line has the values of another one, or none."""
    return all(one is None or one == two for one, two in zip(key, other, strict=True))


def heatmaps(study: Study, pattern: Pattern) -> list[list[Block]]:
    """Return heat-maps: a row per benchmark, a column per value of `pattern.by`."""
    done = _done(study)
    xs, ys = _values(done, pattern.x), _values(done, pattern.y)
    found = {
        (group.value(pattern.y), group.value(pattern.x), tuple(group.value(key) for key in pattern.by)): group
        for group in groups(study, (pattern.x, pattern.y, *pattern.by))
    }
    columns = {key[2]: row_label(group.rows[0], pattern.by) for key, group in found.items()}
    bases = [group for group in references(study) if group.role == Role.base]
    result = []
    for benchmark in study.benchmarks:
        base = bases[0].score(benchmark) if len(bases) == 1 else None
        scores = {key: group.score(benchmark) for key, group in found.items()}
        marks = _marks(study, found, benchmark)
        result.append(
            [
                Block(
                    benchmark,
                    label if pattern.by else "",
                    tuple(xs),
                    tuple(ys),
                    tuple(tuple(scores.get((y, x, column)) for x in xs) for y in ys),
                    base,
                    tuple(tuple(marks.get((y, x, column), Mark.other) for x in xs) for y in ys),
                )
                for column, label in columns.items()
            ]
        )
    return result


Place = tuple[Any, Any, tuple[Any, ...]]
"""The values of a result on the axes of a heat-map: y, x and those that distinguish heat-maps."""


def _marks(study: Study, found: Mapping[Place, Group], benchmark: str) -> dict[Place, Mark]:
    """Compare all results with the best one of a benchmark, paired on the same items, corrected for their number."""
    scores = {place: score for place, group in found.items() if (score := group.score(benchmark))}
    if len(scores) < 2:
        return {}
    best = max(scores, key=lambda place: sign(benchmark) * scores[place].value)
    others = [place for place in scores if place != best]
    gaps = [gain_over(found[best], found[place], benchmark, study.confidence) for place in others]
    values = [gap.p for gap in gaps if gap and not math.isnan(gap.p)]
    if len(values) < len(others):  # a frame around the best would say that others are worse
        return {}
    close = [place for place, p in zip(others, holm(values), strict=True) if p > 1 - study.confidence]
    return {best: Mark.best, **dict.fromkeys(close, Mark.close)}


def part_keys(study: Study, benchmark: str) -> list[str]:
    """Return the score keys of a benchmark's parts, the answers' length last, without groups of items."""
    keys = dict.fromkeys(key for row in study.rows for key in row.scores)
    found = [key for key in keys if key.startswith(f"{benchmark}/") and key.count("/") == 1]
    length = f"{benchmark}/words"
    return [key for key in found if key != length] + [key for key in found if key == length]


def training_curves(study: Study) -> dict[str, list[Curve]]:
    """Return the logged metrics by name: a curve per result, whose seeds are averaged once they are trained.

    Points whose training has not ended have curves of their own.
    """
    keys = varying_but_seed(study)
    together: dict[tuple[Any, ...], list[Row]] = {}
    for number, row in enumerate(study.trained):
        values = tuple(row.value(key) for key in keys)
        together.setdefault((values, -1 if row.state in TRAINED else number), []).append(row)
    found: dict[str, list[Curve]] = {}
    for rows in together.values():
        logs = [{step["step"]: step for step in read_metrics(row.folder)} for row in rows]
        for metric in METRICS:
            if curve := _curve(study, row_label(rows[0], keys), rows, logs, metric):
                found.setdefault(metric, []).append(curve)
    return {metric: found[metric] for metric in METRICS if metric in found}


def _curve(
    study: Study, label: str, rows: list[Row], logs: list[dict[int, dict[str, Any]]], metric: str
) -> Curve | None:
    """Average what points that differ only in their seed have logged; a point that has logged nothing is left out."""
    seeds = [{step: one[metric] for step, one in log.items() if _is_finite(one.get(metric))} for log in logs]
    seeds = [seed for seed in seeds if seed]
    steps = [step for step in seeds[0] if all(step in seed for seed in seeds)] if seeds else []
    if not steps:
        return None
    columns = [[seed[step] for seed in seeds] for step in steps]
    several = len(seeds) > 1
    scores = [row.scores[name].value for row in rows for name in study.benchmarks[:1] if name in row.scores]
    return Curve(
        label,
        rows[0].state,
        tuple(steps),
        tuple(sum(column) / len(column) for column in columns),
        tuple(map(min, columns)) if several else (),
        tuple(map(max, columns)) if several else (),
        sum(scores) / len(scores) if scores else math.nan,
    )


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Return the mean over `window` values around each; fewer at the ends."""
    before, after = window // 2, (window + 1) // 2
    spans = [values[max(0, i - before) : i + after] for i in range(len(values))]
    return [sum(span) / len(span) for span in spans]


def _rows(keys: list[str]) -> Pattern:
    return Pattern("rows", by=tuple(keys))


def _done(study: Study) -> list[Row]:
    return [row for row in study.trained if row.scores]


def _one_scale_below_all(done: list[Row]) -> bool:
    """Return whether there is one share of the data, not all of it: with the base as 0 % it makes a curve."""
    scales = {row.axes.get("data_scale") for row in done}
    return len(scales) == 1 and scales not in ({1.0}, {None})


def _values(done: list[Row], key: str) -> list[Any]:
    return sorted({row.value(key) for row in done} - {None}, key=sort_key)


def _count(done: list[Row], keys: Sequence[str]) -> int:
    return len({tuple(row.value(key) for key in keys) for row in done})


def _is_numeric(done: list[Row], key: str) -> bool:
    values = _values(done, key)
    return len(values) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _follows_method(done: list[Row], key: str) -> bool:
    methods = {row.axes.get("method") for row in done}
    return all(len({row.value(key) for row in done if row.axes.get("method") == method}) == 1 for method in methods)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
