"""The score of the first benchmark against the share of the data (figure 2 of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.data import Panel, ReferenceLine, Series
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.figures.lines import dashes, draw_panel, panel_notes
from mmdpo.analysis.labels import decimals, score_label
from mmdpo.analysis.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scaling(study: Study, panel: Panel, others: Series | None = None, note: str = "") -> Figure:
    """Draw one panel; the reference models are labelled at the right.

    Args:
        study: The study, for title and caption.
        panel: The data.
        others: A curve from elsewhere that is drawn in grey, without intervals.
        note: A further line of the caption.
    """
    figure = style.new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    draw_panel(axes, panel)
    if others:
        xs, values = [100 * dot.x for dot in others.dots], [dot.score.value for dot in others.dots]
        axes.plot(xs, values, ":", marker="x", color=style.GREY, linewidth=1.2, label=others.label, zorder=2)
    axes.set_ylabel(score_label(panel.benchmark))
    _label_references(axes, panel.references)
    if len(panel.series) > 1 or others:
        named = zip(*axes.get_legend_handles_labels(), strict=True)
        dashed = {reference.label for reference in panel.references}
        shown = [(handle, label) for handle, label in named if label not in dashed]
        axes.legend([handle for handle, _ in shown], [label for _, label in shown], loc="best")
    notes = "\n".join(filter(None, [panel_notes(study, [panel]), note]))
    style.describe_figure(figure, study, "Data scaling", notes)
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
