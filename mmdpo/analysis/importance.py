"""Axis importance: which axes of a study moved a score, and by how much.

For each axis, two of its values are compared over the part of the grid in which both have points that are equal in all
else. The differences of these pairs of points are averaged, as in an additive model of the axes; items, and pairs of
points (settings of the other axes, and seeds), are crossed random effects (`mmdpo.evaluation.crossed`). The two values
with the largest difference are reported. Their p value is corrected for the number of pairs of values (Bonferroni) and
then for the axes and scores of the study (Holm).

An axis that changes only together with another one, such as `lr` with `method`, is named beside it and not reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.comparable import are_comparable
from mmdpo.analysis.gain_cache import GainCache, cache_of
from mmdpo.analysis.gains import GainVerdict, holm, verdict_of
from mmdpo.analysis.groups import varying_but_seed
from mmdpo.analysis.labels import column, decimals, estimate_text, value_text
from mmdpo.analysis.measured import estimate_gain, measure
from mmdpo.analysis.study import Row, Study, sort_key

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

BETA_HINT = (
    "beta scales the loss's gradient, and Adam divides scale out: in short runs it hardly matters; vary lr, or train "
    "longer"
)

Pairs = list[tuple[Row, Row]]
"""Points that differ in one axis only (and in the axes that change with it)."""


@dataclass(frozen=True)
class AxisEffect:
    """The largest difference of a score between two values of an axis.

    Attributes:
        axis: The axis or setting.
        along: Other axes that change together with it.
        first: The value that comes first in order.
        second: The value that is compared with it.
        key: The key of the score.
        estimate: The score at the second value minus that at the first; its interval and p value are not corrected.
        pairs: The number of pairs of points behind it.
        p_corrected: The p value corrected for the pairs of values, the axes and the scores.
        verdict: The verdict on the second value by `p_corrected`.
    """

    axis: str
    along: tuple[str, ...]
    first: Any
    second: Any
    key: str
    estimate: Estimate
    pairs: int
    p_corrected: float
    verdict: GainVerdict


def axis_importance(study: Study) -> list[AxisEffect]:
    """Return the effect of each axis that has two values or more on each main score, in the study's order.

    Of a study whose scores cannot all be compared, ask for one of its parts.
    """
    cache = cache_of(study.folder)
    found = []
    for axis, along in _separate_axes(study).items():
        values = sorted({row.value(axis) for row in study.trained if row.scores}, key=sort_key)
        candidates = [(a, b, pairs) for a, b in combinations(values, 2) if (pairs := _pairs(study, axis, along, a, b))]
        for key in study.benchmarks:
            effects = [
                AxisEffect(axis, along, a, b, key, one, len(pairs), one.p, GainVerdict.unclear)
                for a, b, pairs in candidates
                if (one := _estimate(pairs, key, study.confidence, cache)) and one.p == one.p
            ]
            if effects:
                largest = max(effects, key=lambda one: abs(one.estimate.value))
                found.append(replace(largest, p_corrected=min(1.0, len(effects) * largest.estimate.p)))
    cache.save()
    corrected = holm([effect.p_corrected for effect in found])
    level = 1 - study.confidence
    return [
        replace(effect, p_corrected=p, verdict=verdict_of(effect.key, effect.estimate, p, level))
        for effect, p in zip(found, corrected, strict=True)
    ]


def importance_lines(study: Study, part: str = "") -> list[str]:
    """Return a heading and a line for each axis: how much it moved each score, first those with a verdict.

    Args:
        study: The study, or a part of one whose scores can be compared.
        part: The heading of the part.
    """
    effects = axis_importance(study)
    if not effects:
        return []
    count = f"{len(effects)} comparison{'s'[: len(effects) > 1]}"
    lines = [
        f"axes{f' ({part})' if part else ''}: largest difference between two values, paired over items, other settings "
        f"and seeds; verdicts corrected for {count} (Holm)"
    ]
    for axis in dict.fromkeys(effect.axis for effect in effects):
        own = [effect for effect in effects if effect.axis == axis]
        lines.append(f"{_name(own)}: {'; '.join(_texts(study, own))}")
        if axis == "beta" and all(effect.verdict is GainVerdict.unclear for effect in own):
            lines.append(BETA_HINT)
    return lines


def _texts(study: Study, effects: Sequence[AxisEffect]) -> list[str]:
    """Write the effects of one axis: first those with a verdict, then the others in one part."""
    texts: dict[GainVerdict, list[str]] = {verdict: [] for verdict in GainVerdict}
    several = len({_span(effect) for effect in effects}) > 1
    for effect in effects:
        places = decimals(row.scores[effect.key] for row in study.rows if effect.key in row.scores)
        span = f" from {_span(effect)}" if several and effect.verdict is not GainVerdict.unclear else ""
        texts[effect.verdict].append(f"{effect.key} {estimate_text(effect.estimate, places)}{span}")
    return [f"{verdict}: {', '.join(found)}" for verdict, found in texts.items() if found]


def _name(effects: Sequence[AxisEffect]) -> str:
    """Write an axis with the values between which all its scores differ most, if these are the same."""
    spans = {_span(effect) for effect in effects}
    also = f" (with its {', '.join(map(column, effects[0].along))})" if effects[0].along else ""
    return f"{column(effects[0].axis)}{also}{f' from {spans.pop()}' if len(spans) == 1 else ''}"


def _span(effect: AxisEffect) -> str:
    return f"{value_text(effect.axis, effect.first)} to {value_text(effect.axis, effect.second)}"


def _separate_axes(study: Study) -> dict[str, tuple[str, ...]]:
    """Return the axes to report, each with those that change only together with it."""
    rows = [row for row in study.trained if row.scores]
    keys = [key for key in varying_but_seed(study) if not key.startswith("bench.")]
    keys = [key for key in keys if len({_text(row, key) for row in rows}) > 1]
    found: dict[str, tuple[str, ...]] = {}
    for key in keys:
        owner = next((axis for axis in found if _determines(rows, axis, key)), None)
        if owner is None:
            found[key] = ()
        else:
            found[owner] = (*found[owner], key)
    return found


def _determines(rows: Sequence[Row], axis: str, key: str) -> bool:
    """Return whether all points with a value of an axis have the same value of another key."""
    seen: dict[str, str] = {}
    return all(seen.setdefault(_text(row, axis), _text(row, key)) == _text(row, key) for row in rows)


def _pairs(study: Study, axis: str, along: Sequence[str], first: Any, second: Any) -> Pairs:
    """Return the pairs of points with two values of an axis that are equal in all else, seeds included."""
    keys = [key for key in study.varying if key != axis and key not in along]
    sides: list[dict[tuple[str, ...], Row]] = []
    for value in (first, second):
        rows = [row for row in study.trained if row.scores and row.value(axis) == value]
        sides.append({tuple(_text(row, key) for key in keys): row for row in rows})
    return [(row, sides[1][name]) for name, row in sides[0].items() if name in sides[1]]


def _estimate(pairs: Pairs, key: str, confidence: float, cache: GainCache) -> Estimate | None:
    """Estimate the mean difference of pairs of points; None if they cannot be compared."""
    known = [pair for pair in pairs if all(key in row.scores for row in pair)]
    if not known or not are_comparable([row for pair in known for row in pair], key):
        return None
    firsts, seconds = zip(*known, strict=True)

    def compute() -> Estimate | None:
        a, b = ([measure(row.folder, key) for row in side] for side in (firsts, seconds))
        both = [(one, two) for one, two in zip(a, b, strict=True) if one is not None and two is not None]
        if not both:
            return None
        return estimate_gain([one for one, _ in both], [two for _, two in both], confidence, same_seeds=len(both) > 1)

    return cache.get_or_make([*firsts, *seconds], [key, "axis", confidence], compute)


def _text(row: Row, key: str) -> str:
    return f"{type(value := row.value(key)).__name__}:{value}"
