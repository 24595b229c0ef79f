"""The parts of each benchmark's score, and the answers' length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.dots import note, rows_of_dots
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.groups import Group
from mmdpo.analysis.labels import benchmark_label, metric_label
from mmdpo.analysis.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREFIX = "parts_"


def parts(study: Study, benchmark: str, metrics: list[str], groups: list[Group]) -> Figure:
    """Draw the parts of a score on their whole scales.

    Args:
        study: The study.
        benchmark: The benchmark.
        metrics: The score keys of the parts, one panel each.
        groups: The rows.
    """
    figure = rows_of_dots(study, metrics, [metric_label(metric) for metric in metrics], groups, full=True)
    text = f"{note(study, groups, benchmark)}\nThe x-axes show the whole scale from 0."
    style.describe_figure(figure, study, f"Parts of the score: {benchmark_label(benchmark)}", text)
    return figure


def _benchmarks(study: Study) -> dict[str, list[str]]:
    """Return the parts of the benchmarks whose answers' length is known."""
    found = {name: data.part_keys(study, name) for name in study.benchmarks}
    return {name: keys for name, keys in found.items() if f"{name}/words" in keys}


def _figures(study: Study) -> dict[str, Figure]:
    groups = data.dot_rows(study, data.pattern(study))
    return {f"{PREFIX}{name}": parts(study, name, keys, groups) for name, keys in _benchmarks(study).items()}


def _caption(name: str) -> str:
    return f"Parts of the {name.removeprefix(PREFIX)} score, and the answers' length."


FIGURE = StudyFigure(lambda study: bool(_benchmarks(study)), _figures, _caption, order=30)
