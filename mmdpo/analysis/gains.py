"""Gains of a study's results over their base: paired over items and seeds, with a verdict for the whole study.

Verdicts are corrected for the number of comparisons of the study (Holm 1979): if no result differs from its base, at
most one study in twenty claims that one does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.comparable import are_comparable
from mmdpo.analysis.gain_cache import GainCache, cache_of
from mmdpo.analysis.groups import Group, base_of, groups, references
from mmdpo.analysis.labels import sign
from mmdpo.analysis.measured import estimate_gain, measure
from mmdpo.analysis.plan import primary_comparison
from mmdpo.analysis.study import Row, Study
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate


class GainVerdict(StrEnum):
    """The outcome of the comparison of a result with its base."""

    better = "better"
    worse = "worse"
    unclear = "not distinguishable"


class Family(StrEnum):
    """The comparisons that a verdict is corrected for."""

    study = "study"  # all of a study without a plan
    primary = "primary"  # those that the plan of the study names
    exploratory = "exploratory"  # all others of a planned study


@dataclass(frozen=True)
class Gain:
    """The difference of a result from its base on one score.

    Attributes:
        key: The key of the score, as in `Row.scores`.
        estimate: The result's score minus the base's; its interval and p value are not corrected.
        p_corrected: The p value corrected for the comparisons of the study; NaN outside of its family.
        verdict: The verdict by `p_corrected`; None outside of the family, for models that were not trained and for
            parts of scores.
        family: The comparisons that the verdict is corrected for.
    """

    key: str
    estimate: Estimate
    p_corrected: float = math.nan
    verdict: GainVerdict | None = None
    family: Family = Family.study


@dataclass(frozen=True)
class Gains:
    """All gains of a study.

    Attributes:
        by_group: The gains of each group by score key; a group is named by the names of its points.
        comparisons: The number of comparisons that verdicts are corrected for; of a planned study, those that are
            exploratory.
        planned: The differences that the plan of the study names, by group; they are corrected among themselves.
    """

    by_group: dict[tuple[str, ...], dict[str, Gain]]
    comparisons: int
    planned: dict[tuple[str, ...], Gain] = field(default_factory=dict)

    def of(self, group: Group, key: str) -> Gain | None:
        """Return a group's gain on a score; None without a base that it can be compared with."""
        return self.by_group.get(name_of(group), {}).get(key)

    def of_point(self, point: str, key: str) -> Gain | None:
        """Return the gain of the result that a point belongs to."""
        found = (gains.get(key) for name, gains in self.by_group.items() if point in name)
        return next(found, None)


def name_of(group: Group) -> tuple[str, ...]:
    """Return the names of a group's points."""
    return tuple(row.point for row in group.rows)


def study_gains(study: Study) -> Gains:
    """Compute the gains of all results and reference models of a study on the main scores."""
    cache = cache_of(study.folder)
    found: dict[tuple[str, ...], dict[str, Gain]] = {}
    family: list[tuple[tuple[str, ...], str]] = []
    for group in [*references(study), *groups(study)]:
        base = base_of(study, group)
        if base is None or base.rows == group.rows:
            continue
        for key in study.benchmarks:
            group.score(key)  # kept with the gains, so that the next table is quick as well
            estimate = gain_over(base, group, key, study.confidence, cache)
            if estimate is not None:
                found.setdefault(name_of(group), {})[key] = Gain(key, estimate)
                if group.role == Role.trained and not math.isnan(estimate.p):
                    family.append((name_of(group), key))
    comparison = primary_comparison(study)
    planned = {}
    for reference, group in comparison.pairs if comparison else ():
        key = comparison.benchmark if comparison else ""
        estimate = gain_over(reference, group, key, study.confidence, cache)
        if estimate is not None and not math.isnan(estimate.p):
            planned[name_of(group)] = Gain(key, estimate, family=Family.primary)
    cache.save()
    planned = _with_verdicts(planned, 1 - study.confidence)
    for reference, group in comparison.pairs if comparison else ():
        gain = planned.get(name_of(group))
        if gain and reference.role == Role.base:  # the gain over the base is the planned difference
            found[name_of(group)][gain.key] = gain
            family.remove((name_of(group), gain.key))
    others = Family.exploratory if comparison else Family.study
    rest = {(name, key): replace(found[name][key], family=others) for name, key in family}
    for (name, key), gain in _with_verdicts(rest, 1 - study.confidence).items():
        found[name][key] = gain
    return Gains(found, len(family), planned)


def _with_verdicts(gains: dict[Any, Gain], level: float) -> dict[Any, Gain]:
    """Return the gains of one family with corrected p values and verdicts."""
    corrected = holm([gain.estimate.p for gain in gains.values()])
    return {
        name: replace(gain, p_corrected=p, verdict=verdict_of(gain.key, gain.estimate, p, level))
        for (name, gain), p in zip(gains.items(), corrected, strict=True)
    }


def gain_over(
    base: Group, group: Group, key: str, confidence: float, cache: GainCache | None = None
) -> Estimate | None:
    """Estimate a group's score minus that of another over the items that all their points have.

    Args:
        base: The group that is subtracted.
        group: The group that is compared with it; where both have the same seeds, seeds are paired as well.
        key: The key of the score.
        confidence: The level of the interval.
        cache: Estimates of the study that were computed before.

    Returns:
        The difference; None if a point has no such score, or if their scores cannot be compared.
    """
    first, second = base.scored(key), group.scored(key)
    if not first or not second or not are_comparable([*first, *second], key):
        return None
    in_order = with_same_seeds(first, second)
    second = in_order or second

    def compute() -> Estimate | None:
        measured = [[measure(row.folder, key) for row in rows] for rows in (first, second)]
        a, b = ([one for one in side if one is not None] for side in measured)
        if len(a) < len(first) or len(b) < len(second):
            return None
        return estimate_gain(a, b, confidence, same_seeds=in_order is not None)

    if cache is None:
        return compute()
    return cache.get_or_make([*first, *second], [key, "gain", confidence, len(first)], compute)


def with_same_seeds(first: Sequence[Row], second: Sequence[Row]) -> tuple[Row, ...] | None:
    """Return the points of a second result in the order of the first one's seeds.

    None unless both have the same seeds, several of them, each once.
    """
    seeds = [row.axes.get("seed") for row in first]
    others = [row.axes.get("seed") for row in second]
    if len(seeds) < 2 or set(seeds) != set(others) or not len({*seeds}) == len(first) == len(second):
        return None
    return tuple(sorted(second, key=lambda row: seeds.index(row.axes.get("seed"))))


def verdict_of(key: str, estimate: Estimate, p_corrected: float, level: float) -> GainVerdict:
    """Return the verdict on a difference, by its corrected p value and the direction of its metric.

    Args:
        key: The key of the score.
        estimate: The difference.
        p_corrected: Its corrected p value.
        level: The p value from which a difference is not distinguishable from none, such as 0.05.
    """
    if not p_corrected <= level:
        return GainVerdict.unclear
    return GainVerdict.better if sign(key) * estimate.value > 0 else GainVerdict.worse


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by the method of Holm (1979)."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    corrected, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected
