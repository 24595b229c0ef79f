"""The tables of a study's page: results with their gains, comparisons, parts of scores, groups of items, counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.comparable import ComparablePart
from mmdpo.analysis.gains import Gain, Gains
from mmdpo.analysis.groups import Group, groups, references, varying_but_seed
from mmdpo.analysis.labels import assignment, benchmark_label, decimals, estimate_text, metric_label, row_label
from mmdpo.analysis.study import Study
from mmdpo.analysis.table import with_bounds
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

NONE = "–"


@dataclass(frozen=True)
class Cells:
    """A table of the page: headings, and rows of a name and its cells."""

    title: str
    headings: list[str]
    rows: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class ResultCell:
    """A score, and its gain over the base with the verdict; empty for what there is not."""

    score: str
    gain: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class SeedRow:
    """A single seed of a result: its name, its point, and its scores."""

    name: str
    point: str
    cells: list[str]


@dataclass(frozen=True)
class ResultRow:
    """A result: points that differ only in their seed, or a model that was not trained.

    Attributes:
        name: The label of the result.
        point: The name of its first point.
        trained: Whether it was trained.
        cells: One per benchmark.
        seeds: Its single seeds; empty for a single point.
    """

    name: str
    point: str
    trained: bool
    cells: list[ResultCell]
    seeds: list[SeedRow]


@dataclass(frozen=True)
class ResultsTable:
    """The results of points that can be compared: heading, names of benchmarks, and rows."""

    heading: str
    headings: list[str]
    rows: list[ResultRow]


def result_table(study: Study, part: ComparablePart, gains: Gains) -> ResultsTable:
    """Make the table of the results of a part: models that were not trained first.

    Args:
        study: The whole study, whose axes name the results.
        part: The points of the table.
        gains: The gains of the whole study.
    """
    rows = []
    benchmarks = part.study.benchmarks
    found = results(study, part.study)
    scores = {key: [group.score(key) for group in found] for key in benchmarks}
    places = {key: decimals([score for score in column if score]) for key, column in scores.items()}
    for number, group in enumerate(found):
        cells = [_result_cell(scores[key][number], gains.of(group, key), places[key]) for key in benchmarks]
        seeds = [
            SeedRow(
                assignment("seed", row.value("seed")),
                row.point,
                [with_bounds(row.scores[key], places[key]) if key in row.scores else NONE for key in benchmarks],
            )
            for row in group.rows
            if len(group.rows) > 1
        ]
        rows.append(ResultRow(group.label, group.rows[0].point, group.role == Role.trained, cells, seeds))
    return ResultsTable(part.heading, [benchmark_label(key) for key in benchmarks], rows)


def results(study: Study, part: Study) -> list[Group]:
    """Return the results of a part of a study, by the axes of the whole study."""
    return [*references(part), *groups(part, varying_but_seed(study))]


def gains_table(study: Study, gains: Gains) -> Cells:
    """Make the table of all comparisons with the base: gain, p value, corrected p value, verdict and counts."""
    headings = ["benchmark", "gain", "p", "p, corrected", "verdict", "items", "clusters", "seeds"]
    rows = []
    for group in results(study, study):
        for key in study.benchmarks:
            gain = gains.of(group, key)
            if gain is None:
                continue
            one = gain.estimate
            verdict = str(gain.verdict) if gain.verdict else "not tested"
            values = [_p(one.p), _p(gain.p_corrected), verdict, str(one.n), str(one.clusters), str(one.seeds)]
            rows.append((group.label, [benchmark_label(key), estimate_text(one, _places(one)), *values]))
    return Cells("Comparisons", headings, rows)


def parts_table(study: Study, benchmark: str) -> Cells:
    """Make the table of the parts of a benchmark's score."""
    return _sub_table(study, benchmark, lambda rest: "/" not in rest)


def category_table(study: Study, benchmark: str) -> Cells:
    """Make the table of a benchmark's score in each of the groups that its task shows apart."""
    return _sub_table(study, benchmark, lambda rest: "/" in rest)


def training_table(study: Study) -> Cells:
    """Make the table of data and training counts, as the points' results give them."""
    trained = [row for row in study.trained if isinstance(row.result.get("training"), dict)]
    keys = dict.fromkeys(
        key for row in trained for key, value in row.result["training"].items() if isinstance(value, int | float | str)
    )
    rows = [
        (row_label(row, study.varying), [_plain(row.result["training"].get(key)) for key in keys]) for row in trained
    ]
    return Cells("Training", list(keys), rows)


def _result_cell(score: Score | None, gain: Gain | None, places: int) -> ResultCell:
    if score is None:
        return ResultCell(NONE)
    if gain is None:
        return ResultCell(with_bounds(score, places))
    return ResultCell(with_bounds(score, places), estimate_text(gain.estimate, places), str(gain.verdict or ""))


def _sub_table(study: Study, benchmark: str, wanted: Callable[[str], bool]) -> Cells:
    prefix = f"{benchmark}/"
    keys = [
        key
        for key in dict.fromkeys(key for row in study.rows for key in row.scores)
        if key.startswith(prefix) and wanted(key.removeprefix(prefix))
    ]
    found = results(study, study) if keys else []
    scores = {key: [group.score(key) for group in found] for key in keys}
    places = {key: decimals([score for score in column if score]) for key, column in scores.items()}
    rows = [
        (group.label, [_cell(scores[key][number], places[key]) for key in keys]) for number, group in enumerate(found)
    ]
    return Cells(benchmark_label(benchmark), [metric_label(key) for key in keys], rows)


def _cell(score: Score | None, places: int) -> str:
    return NONE if score is None else with_bounds(score, places)


def _places(one: Estimate) -> int:
    """Return the number of decimals that the interval of a gain warrants."""
    return decimals([Score(one.value, one.n, one.low, one.high)])


def _p(value: float) -> str:
    if math.isnan(value):
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _plain(value: Any) -> str:
    return NONE if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def shared(cells: Sequence[Cells]) -> list[Cells]:
    """Return the tables that have any column."""
    return [one for one in cells if one.headings]
