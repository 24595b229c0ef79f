"""The parts of the variance of gains, measured on finished studies; they tell what a planned study can see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.find import list_studies
from mmdpo.analysis.gains import Gains, study_gains
from mmdpo.analysis.groups import Group, base_of, groups
from mmdpo.analysis.label_lines import label_of_row
from mmdpo.analysis.measured import common_items, measure, table_of_pseudo_values
from mmdpo.analysis.study import Study, read_study
from mmdpo.errors import UserError
from mmdpo.evaluation.power import Variances, visible_of_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE_SHARE = 0.1
"""Share of the variance over items that differs by seed, where seeds were not measured: as on the miniature."""

SEED_RATIO = 0.5
"""Deviation between seeds, as a share of the standard error over items, where seeds were not measured: the largest for
which verdicts over a few seeds hold."""

STUDIES = 20  # that are searched, the newest first


@dataclass(frozen=True)
class MeasuredVariances:
    """Parts of a variance, and where they are from.

    Attributes:
        variances: The parts.
        source: What they were measured on.
        with_seeds: Whether the parts of the seeds were measured; else they are assumed.
    """

    variances: Variances
    source: str
    with_seeds: bool


def smallest_visible_gain(study: Study, key: str, gains: Gains | None = None) -> float | None:
    """Return the smallest gain that a finished study sees with 80 % power, by the median of its results' errors.

    Args:
        study: The study.
        key: The key of a main score.
        gains: The gains of the study, if they are at hand.

    Returns:
        The gain, for the number of comparisons of the study; None if no result has a gain with an interval. Results
        whose answers score as those of the base on every item tell nothing about it.
    """
    gains = study_gains(study) if gains is None else gains
    estimates = [gain.estimate for group in groups(study) if (gain := gains.of(group, key)) and gain.verdict]
    level = (1 - study.confidence) / max(1, gains.comparisons)
    found = [visible_of_error(one.error, one.df, level) for one in estimates if one.error > 0]
    return median(found) if found else None


def measured_variances(out: Path, first: Path, task: str, split: str) -> MeasuredVariances | None:
    """Return the parts of the variance of gains on a task from the newest finished study that has them.

    Args:
        out: The folder of the studies.
        first: The study that is looked at first.
        task: The task.
        split: The split of its samples.
    """
    for folder in _newest_first(out, first):
        try:
            study = read_study(folder)
        except UserError:
            continue
        if found := variances_of(study, task, split):
            return found
    return None


def variances_of(study: Study, task: str, split: str) -> MeasuredVariances | None:
    """Return the parts of the variance of a study's gains on a task, as means over its results; None without any.

    Args:
        study: The study.
        task: The task.
        split: The split of the samples; results on other splits do not count.
    """
    from mmdpo.evaluation.crossed import mean_squares

    single: list[tuple[float, int]] = []
    parts: list[tuple[float, float, float]] = []
    points = set()
    for group in groups(study):
        table = _differences(study, group, task, split)
        if table is None:
            continue
        count, seeds = table.shape
        of_clusters, of_seeds, rest = mean_squares(table)
        if seeds > 1:
            parts.append(((of_clusters - rest) / seeds, rest, (of_seeds - rest) / count))
        else:
            single.append((of_clusters, count))
        points |= {row.point for row in group.scored(task)}
    if not parts and not single:
        return None
    source = f"{len(points)} points of {study.folder}"
    if parts:
        items, noise, of_seed = (max(0.0, sum(column) / len(parts)) for column in zip(*parts, strict=True))
        return MeasuredVariances(Variances(items, noise, of_seed), source, True)
    error = (sum(square / count for square, count in single) / len(single)) ** 0.5
    return MeasuredVariances(Variances.of_single(error, single[0][1], NOISE_SHARE, SEED_RATIO), source, False)


def _differences(study: Study, group: Group, task: str, split: str) -> NDArray[Any] | None:
    """Return the pseudo-values [C, S] of a group's gain on a task."""
    base = base_of(study, group)
    rows = [*base.scored(task), *group.scored(task)] if base and base.scored(task) else []
    if len(rows) < 2 or any(label_of_row(row, task).get("split") not in (split, None) for row in rows):
        return None
    found = [one for row in rows if (one := measure(row.folder, task))]
    if len(found) < len(rows) or not (ids := common_items(found)):
        return None
    _, pseudo = table_of_pseudo_values(found, ids)
    return pseudo[:, 1:] - pseudo[:, :1] if len(pseudo) > 1 else None


def _newest_first(out: Path, first: Path) -> Iterator[Path]:
    def changed(folder: Path) -> float:
        try:
            return folder.stat().st_mtime
        except OSError:
            return 0.0

    folders: Sequence[Path] = sorted(list_studies(out), key=changed, reverse=True)
    yield from dict.fromkeys([first, *folders[:STUDIES]])
