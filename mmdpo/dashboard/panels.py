"""The panels of a study's dashboard, described once for W&B and for the offline page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.figures import Picture
from mmdpo.analysis.gains import Gains, study_gains
from mmdpo.analysis.groups import Group, groups, references, varying_but_seed
from mmdpo.analysis.labels import axis_label, benchmark_label, column, row_label, score_label
from mmdpo.analysis.study import Row, Study, read_metrics
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role

METRICS = ("loss", "rewards/margins", "rewards/accuracies")
"""The metrics of the training that have a panel, as far as they were logged."""


class Source(StrEnum):
    """The part of a W&B run that a column is read from."""

    config = "config"
    summary = "summary"


@dataclass(frozen=True)
class Column:
    """A column of the table of runs, or an axis of the parallel coordinates.

    Attributes:
        source: The part of the run that holds the value.
        key: The key in that part; dots separate nested keys of the config.
        label: The heading.
        axis: The name by which `Row.value` knows an axis or setting; empty for a score.
        logarithmic: Whether the values are spread over magnitudes.
    """

    source: Source
    key: str
    label: str
    axis: str = ""
    logarithmic: bool = False


@dataclass(frozen=True)
class Dot:
    """One result on a curve: its score over all seeds, and the scores of the single seeds."""

    x: float
    score: Score
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Line:
    """A curve of results that differ only in the axis of the panel, or a reference model as a level line."""

    label: str
    role: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class ScoreBars:
    """The score of every result and reference model on one benchmark, with its gain."""

    key: str

    @property
    def title(self) -> str:
        """The heading of the panel."""
        return score_label(self.key)


@dataclass(frozen=True)
class ScoreCurve:
    """The score on one benchmark against one axis, with level lines for the models that were not trained."""

    key: str
    axis: str
    lines: tuple[Line, ...]
    levels: tuple[Line, ...]
    part: int = 0

    @property
    def title(self) -> str:
        """The heading of the panel."""
        return f"{score_label(self.key)} against {axis_label(self.axis)}"

    @property
    def table(self) -> str:
        """The key of the table that holds the curve in W&B."""
        return _numbered(f"curve_{self.key}_{self.axis}".replace(".", "_"), self.part)


@dataclass(frozen=True)
class LearningCurves:
    """A metric of the training against the step: one line per result, which is the mean over its seeds."""

    metric: str

    @property
    def title(self) -> str:
        """The heading of the panel."""
        return f"train/{self.metric}"


@dataclass(frozen=True)
class ParallelAxes:
    """One line per point through its axes and scores."""

    columns: tuple[Column, ...]
    title: str = "Axes and scores"


@dataclass(frozen=True)
class ResultTable:
    """Score, gain and verdict of every result on every benchmark."""

    part: int = 0
    title: str = "Results"

    @property
    def table(self) -> str:
        """The key of the table in the W&B run of the study."""
        return _numbered("results", self.part)


@dataclass(frozen=True)
class AnswerTable:
    """The answers of every point to one benchmark, those of the base beside them."""

    task: str

    @property
    def title(self) -> str:
        """The heading of the panel."""
        return f"Answers: {benchmark_label(self.task)}"

    @property
    def table(self) -> str:
        """The key of the table in the W&B runs of the points."""
        return f"answers_{self.task}"


@dataclass(frozen=True)
class Pictures:
    """The figures of the report."""

    pictures: tuple[Picture, ...]
    title: str = "Figures"

    def keys(self) -> list[str]:
        """Return the keys of the images in W&B."""
        return [f"figures/{one.path.stem}" for one in self.pictures]


Panel = ScoreBars | ScoreCurve | LearningCurves | ParallelAxes | ResultTable | AnswerTable | Pictures


@dataclass(frozen=True)
class Section:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """The dashboard of a study, or of a part of it whose scores can be compared with each other.

    Attributes:
        study: The study with the points of the part.
        gains: The gains of all results of the study.
        pictures: The figures of its report.
        heading: What distinguishes the part from the others; empty if the whole study can be compared.
        part: The number of the part, from 0.
    """

    study: Study
    gains: Gains
    pictures: tuple[Picture, ...] = ()
    heading: str = ""
    part: int = 0

    @property
    def title(self) -> str:
        """The name of the study, and what distinguishes the part."""
        return f"{self.study.name} ({self.heading})" if self.heading else self.study.name

    @cached_property
    def sections(self) -> list[Section]:
        """The sections that have panels."""
        study, curves = self.study, self._curves()
        tasks = study.benchmarks
        axes = self.axis_columns()
        found = [
            Section("Scores", (ResultTable(self.part), *map(ScoreBars, tasks)) if tasks else ()),
            Section("Data scaling", tuple(one for one in curves if one.axis == "data_scale")),
            Section("Scores against each axis", tuple(one for one in curves if one.axis != "data_scale")),
            Section("Training", tuple(LearningCurves(metric) for metric in METRICS if learning_curves(study, metric))),
            Section("All axes", (ParallelAxes((*axes, *self.score_columns())),) if axes and tasks else ()),
            Section("Answers side by side", tuple(AnswerTable(task) for task in tasks)),
            Section("Figures", (Pictures(self.pictures),) if self.pictures else ()),
        ]
        return [section for section in found if section.panels]

    def panels(self) -> list[Panel]:
        """Return the panels of all sections."""
        return [panel for section in self.sections for panel in section.panels]

    @cached_property
    def results(self) -> list[Group]:
        """The models that were not trained, then the results, in the study's order."""
        return [*references(self.study), *groups(self.study)]

    def label_of(self, row: Row) -> str:
        """Return the label of the result that a point belongs to."""
        found = (group.label for group in self.results if row.point in [one.point for one in group.rows])
        return next(found, row_label(row, varying_but_seed(self.study)))

    def axis_columns(self) -> list[Column]:
        """Return the columns of the axes and settings that vary."""
        keys = self.study.varying
        return [
            Column(Source.config, "method.name" if key == "method" else key, column(key), key, key == "lr")
            for key in keys
        ]

    def score_columns(self) -> list[Column]:
        """Return the columns of the scores."""
        return [Column(Source.summary, task, benchmark_label(task)) for task in self.study.benchmarks]

    def run_columns(self, endings: Sequence[str]) -> list[Column]:
        """Return the columns of the table of runs: axes, then each benchmark's score and the values beside it."""
        found = self.axis_columns()
        for task in self.study.benchmarks:
            name = benchmark_label(task)
            found.append(Column(Source.summary, task, name))
            for ending in endings:
                found.append(Column(Source.summary, f"{task}_{ending}", f"{name} {ending.replace('_', ' ')}"))
        return found

    def _curves(self) -> list[ScoreCurve]:
        axes = [key for key in varying_but_seed(self.study) if len(_numbers(self.study, key)) > 1]
        if not axes and _numbers(self.study, "data_scale") - {1.0} and self.study.of_role(Role.base):
            axes = ["data_scale"]  # with the base as 0 it is a curve
        found = (_curve(self.study, key, axis, self.part) for axis in axes for key in self.study.benchmarks)
        return [curve for curve in found if curve.lines]


def describe_dashboards(study: Study, pictures: Sequence[Picture] = ()) -> list[Dashboard]:
    """Describe the dashboards of a study: one per part whose scores can be compared.

    Args:
        study: The study.
        pictures: The figures of its report, which the first part shows.
    """
    gains = study_gains(study)
    return [
        Dashboard(part.study, gains, tuple(pictures) if number == 0 else (), part.heading, number)
        for number, part in enumerate(comparable_parts(study))
    ]


def learning_curves(study: Study, metric: str) -> dict[str, dict[int, list[float]]]:
    """Return the values of a metric by result and step, one per seed."""
    keys = varying_but_seed(study)
    found: dict[str, dict[int, list[float]]] = {}
    for row in study.trained:
        for line in read_metrics(row.folder):
            if isinstance(value := line.get(metric), int | float):
                found.setdefault(row_label(row, keys), {}).setdefault(line["step"], []).append(float(value))
    return found


def _numbered(key: str, part: int) -> str:
    return f"{key}_{part + 1}" if part else key


def _numbers(study: Study, key: str) -> set[float]:
    """Return the values of an axis if all of them are numbers, else nothing."""
    values = [row.value(key) for row in study.trained if row.scores and row.value(key) is not None]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return set(map(float, values)) if numeric else set()


def _curve(study: Study, key: str, axis: str, part: int) -> ScoreCurve:
    others = [name for name in varying_but_seed(study) if name != axis]
    known = [(one, score) for one in references(study) if (score := one.score(key)) is not None]
    bases = [score for one, score in known if one.role == Role.base]
    by_label: dict[str, list[Dot]] = {}
    for group in groups(study, [*others, axis]):
        score, x = group.score(key), group.value(axis)
        if score is not None and x is not None:
            start = [Dot(0.0, bases[0], ())] if axis == "data_scale" and len(bases) == 1 else []
            dots = by_label.setdefault(row_label(group.rows[0], others), start)
            dots.append(Dot(float(x), score, tuple(group.seeds(key))))
    lines = [Line(label, Role.trained, tuple(sorted(dots, key=lambda dot: dot.x))) for label, dots in by_label.items()]
    xs = sorted({dot.x for line in lines for dot in line.dots})
    levels = [Line(one.label, one.role, (Dot(xs[0], score, ()), Dot(xs[-1], score, ()))) for one, score in known if xs]
    return ScoreCurve(key, axis, tuple(lines), tuple(levels), part)
