"""The score of the first benchmark against the share of the data (figure 2 of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.data import Panel, ReferenceLine
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.figures.lines import dashes, draw_panel, panel_notes
from mmdpo.analysis.labels import decimals, score_label
from mmdpo.analysis.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scaling(study: Study, panel: Panel) -> Figure:
    """Draw one panel; the reference models are labelled at the right."""
    figure = style.new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    draw_panel(axes, panel)
    axes.set_ylabel(score_label(panel.benchmark))
    _label_references(axes, panel.references)
    if len(panel.series) > 1:
        axes.legend(loc="best")
    style.describe_figure(figure, study, "Data scaling", panel_notes(study, [panel]))
    return figure


def _label_references(axes: Axes, references: tuple[ReferenceLine, ...]) -> None:
    """Write the names beside the right end of the dashed lines, apart where the lines are close."""
    low, high = axes.get_ylim()
    gap = 0.12 * (high - low)
    place = -math.inf
    for number, reference in sorted(enumerate(references), key=lambda item: item[1].score.value):
        place = max(reference.score.value, place + gap)
        places = decimals([reference.score])
        axes.annotate(
            f"{reference.label.replace(' visual', chr(10) + 'visual')}\n{reference.score.value:.{places}f}",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=dashes(number, reference)["color"],
        )


def _suits(study: Study) -> bool:
    return data.pattern(study).kind == "scaling"


def _figures(study: Study) -> dict[str, Figure]:
    (panel,) = data.score_panels(study, data.pattern(study), study.benchmarks[:1])
    return {"data_scaling": scaling(study, panel)}


CAPTION = "The score against the share of the preference pairs; 0 % is the base."
FIGURE = StudyFigure(_suits, _figures, lambda name: CAPTION, order=10)
