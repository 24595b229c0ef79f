"""Points that differ only in their seed, as one result; and the models that were not trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.comparable import are_comparable
from mmdpo.analysis.gain_cache import cache_of
from mmdpo.analysis.labels import assignment, metric_of, row_label
from mmdpo.analysis.measured import common_items, estimate_score, measure
from mmdpo.analysis.study import Row, Study, confidence_of
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate


@dataclass(frozen=True)
class Group:
    """Points that differ only in their seed.

    Attributes:
        label: The values of the axes that distinguish the group, or the name of a model that was not trained.
        role: The role of its points.
        rows: The points, by seed.
        suffix: The end of the label where it distinguishes groups of equal axes.
    """

    label: str
    role: str
    rows: tuple[Row, ...]
    suffix: str = ""

    def value(self, key: str) -> Any:
        """Return the value of an axis or setting that the group's points share."""
        return self.rows[0].value(key)

    def scored(self, key: str) -> tuple[Row, ...]:
        """Return the points that have a score."""
        return tuple(row for row in self.rows if key in row.scores)

    def score(self, key: str) -> Score | None:
        """Return the score: of a single point as its result has it, of several over items and seeds together.

        None if no point has it. Where the judged items are not there, the ends of the interval are means over seeds.
        """
        rows = self.scored(key)
        scores = [row.scores[key] for row in rows]
        if len(scores) < 2:
            return scores[0] if scores else None
        unscored = max(score.unscored for score in scores)
        if mean := self._mean(rows, key):
            lowest, highest = _limits(key)
            return Score(mean.value, mean.n, max(mean.low, lowest), min(mean.high, highest), unscored)
        means = [sum(ends) / len(scores) for ends in zip(*((s.value, s.low, s.high) for s in scores), strict=True)]
        return Score(means[0], scores[0].n, means[1], means[2], unscored)

    def _mean(self, rows: Sequence[Row], key: str) -> Estimate | None:
        """Estimate the mean over items and seeds; None if judged items are missing, or none are common to all."""
        confidence = confidence_of(rows)

        def compute() -> Estimate | None:
            found = [one for row in rows if (one := measure(row.folder, key))]
            return estimate_score(found, confidence) if len(found) == len(rows) and common_items(found) else None

        return cache_of(rows[0].folder.parent).get_or_make(rows, [key, "score", confidence], compute)

    def seeds(self, metric: str) -> list[float]:
        """Return the scores of the single seeds if there are several, else nothing."""
        values = [row.scores[metric].value for row in self.scored(metric)]
        return values if len(values) > 1 else []


def _limits(key: str) -> tuple[float, float]:
    """Return the ends of the scale of a score, as far as it is that of its task or of a named metric."""
    metric = metric_of(key) if key.count("/") < 2 else None
    return metric.scale if metric and metric.scale else (-math.inf, math.inf)


def varying_but_seed(study: Study) -> list[str]:
    """Return the axes and settings in which trained points differ, apart from the seed."""
    return [key for key in study.varying if key != "seed"]


def groups(study: Study, keys: Sequence[str] | None = None) -> list[Group]:
    """Return the finished trained points in the study's order, grouped over seeds.

    Args:
        study: The study.
        keys: The axes and settings that distinguish groups; None for all that vary apart from the seed.
    """
    keys = varying_but_seed(study) if keys is None else keys
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in study.trained:
        if row.scores:
            found.setdefault(tuple(row.value(key) for key in keys), []).append(row)
    return [group for rows in found.values() for group in with_own_seeds(row_label(rows[0], keys), rows)]


def with_own_seeds(label: str, rows: Sequence[Row]) -> list[Group]:
    """Make groups of points, several if a seed is there twice: then something else differs, such as the data's content.

    Args:
        label: The label of the points.
        rows: Points of one role with equal axes and settings, apart from the seed.
    """
    if _have_own_seeds(rows):
        return [Group(label, rows[0].role, tuple(rows))]
    by_data: dict[str, list[Row]] = {}
    for row in rows:
        prints = row.result.get("fingerprints")
        by_data.setdefault(str(prints.get("data"))[:6] if isinstance(prints, dict) else "", []).append(row)
    if all(map(_have_own_seeds, by_data.values())):
        parts = [(f", data {name}", part) for name, part in by_data.items()]
    else:
        parts = [(f", {row.point.rpartition('-')[2]}", [row]) for row in rows]
    return [Group(f"{label}{suffix}", part[0].role, tuple(part), suffix) for suffix, part in parts]


def _have_own_seeds(rows: Sequence[Row]) -> bool:
    return len({str(row.axes.get("seed")) for row in rows}) == len(rows)


def references(study: Study) -> list[Group]:
    """Return the models that were not trained: base, before visual tuning, imported rows."""
    rows = [row for row in study.rows if row.role != Role.trained and row.scores]
    roles = [row.role for row in rows]
    labels = []
    for row in rows:
        named = [assignment(key, row.value(key)) for key in row.settings if row.value(key) is not None]
        several = roles.count(row.role) > 1 and row.role != Role.imported
        labels.append(", ".join([row_label(row, ()), *(named if several else [])]))
    return [Group(label, row.role, (row,)) for label, row in zip(labels, rows, strict=True)]


def _may_have_model_of(base: Row, row: Row) -> bool:
    """Return whether a base has the model that a trained point began with, as far as both are known."""
    prints = [one.result["fingerprints"] for one in (base, row) if isinstance(one.result.get("fingerprints"), dict)]
    return row.role != Role.trained or len({model for one in prints if (model := one.get("model"))}) < 2


def base_of(study: Study, group: Group) -> Group | None:
    """Return the base that a group is compared with: the one of the same model and benchmark settings.

    Of several bases, finished or not, it is the one that has the group's values of all settings in which the bases
    differ, then the one whose scores can be compared. None if the study has no such base, or several.
    """
    bases = [row for row in study.of_role(Role.base) if _may_have_model_of(row, group.rows[0])]
    differing = [key for row in bases for key, value in row.settings.items() if value != bases[0].settings.get(key)]
    settings = {key: group.value(key) for key in differing}
    fitting = [row for row in bases if all(row.settings.get(key) == value for key, value in settings.items())]
    if len(fitting) > 1:
        fitting = [row for row in fitting if all(are_comparable([row, *group.rows], key) for key in row.scores)]
    return next((one for one in references(study) if one.rows == tuple(fitting)), None)
