"""Learning curves: loss, reward margin and reward accuracy against the step, under TRL's names."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.data import TRAINED, Curve, running_mean
from mmdpo.analysis.figures.drawing import current
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.labels import benchmark_label, sign
from mmdpo.analysis.study import Study
from mmdpo.points.status import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLOURED = 6
"""The number of results up to which each has a colour; of more, the best stand out and the others are grey."""
HIGHLIGHTED = 3
"""The number of results that stand out then."""
REST = "#B8B8B8"


def curves(study: Study, metrics: dict[str, list[Curve]]) -> Figure:
    """Draw a panel per metric and a line per result; the values of its seeds are averaged, with their range behind."""
    labels = list(dict.fromkeys(curve.label for of_metric in metrics.values() for curve in of_metric))
    chosen = coloured(study, metrics)
    colours = dict(zip(chosen, style.PALETTE, strict=False))
    width = 3.0 * len(metrics) + 0.4
    figure = style.new_figure(width, 2.9)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    others = f"{len(labels) - len(chosen)} others"
    order = {label: number for number, label in enumerate([others, *chosen])}
    for axes, (metric, of_metric) in zip(panels, metrics.items(), strict=True):
        style.light_grid(axes)
        for curve in sorted(of_metric, key=lambda one: order.get(one.label, 0)):
            named = curve.label in colours
            colour = colours.get(curve.label, REST)
            if curve.low and named:
                axes.fill_between(
                    curve.steps, _smooth(curve.low), _smooth(curve.high), color=colour, alpha=0.18, linewidth=0
                )
            axes.plot(
                curve.steps,
                _smooth(curve.values),
                color=colour,
                label=curve.label if named else others,
                linestyle="-" if curve.state in TRAINED else ":",
                linewidth=1.3 if named else 0.8,
                zorder=3 if named else 2,
            )
        axes.set_title(metric, loc="left")
        axes.set_xlabel("optimizer step")
    legend = style.common_legend(panels, width) if len(labels) > 1 else style.Legend({}, 1)
    legend = replace(legend, handles=dict(sorted(legend.handles.items(), key=lambda pair: pair[0] == others)))
    figure.set_figheight(2.9 + legend.height)
    style.describe_figure(figure, study, "Training", _note(study, metrics, len(chosen) < len(labels)), legend)
    return figure


def coloured(study: Study, metrics: dict[str, list[Curve]]) -> list[str]:
    """Return the labels of the curves that have a colour: all, or the best of many by the first benchmark.

    Without scores, the last of the many stand out.
    """
    scores = {curve.label: curve.score for of_metric in metrics.values() for curve in of_metric}
    if len(scores) <= MOST_COLOURED:
        return list(scores)
    better = sign(study.benchmarks[0]) if study.benchmarks else 1
    by_score = sorted(scores, key=lambda label: math.inf if math.isnan(scores[label]) else -better * scores[label])
    return by_score[:HIGHLIGHTED]


def _smooth(values: tuple[float, ...]) -> list[float]:
    return running_mean(values, current().smooth)


def _note(study: Study, metrics: dict[str, list[Curve]], chosen: bool) -> str:
    every = [curve for of_metric in metrics.values() for curve in of_metric]
    number = max(map(len, metrics.values()))
    parts = [f"{number} result{'s' if number > 1 else ''}"]
    smooth = current().smooth
    parts.append(f"mean over {smooth} logged steps around each" if smooth > 1 else "each logged step")
    if any(curve.low for curve in every):
        parts.append("lines: mean over seeds, bands: from the lowest to the highest of them")
    if chosen:
        by = f" by {benchmark_label(study.benchmarks[0])}" if study.benchmarks else ""
        parts.append(f"in colour: the best {HIGHLIGHTED}{by}, the best first")
    if any(curve.state not in TRAINED for curve in every):
        pruned = any(curve.state == State.pruned for curve in every)
        parts.append(f"dotted: not finished{' or pruned' if pruned else ''}")
    return "; ".join(parts) + "."


def _figures(study: Study) -> dict[str, Figure]:
    return {"training": curves(study, data.training_curves(study))}


FIGURE = StudyFigure(
    lambda study: bool(data.training_curves(study)), _figures, lambda name: "Training curves.", order=40, by_part=False
)
