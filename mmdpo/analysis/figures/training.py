"""Training curves: loss, reward margin and reward accuracy against the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.data import Curve, running_mean
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.study import Study
from mmdpo.points.status import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINED = (State.done, State.trained, State.answered)
"""The states of points whose training has ended well."""
MOST_NAMED = 16
"""The number of lines up to which there is a legend."""
SHARE, MOST_STEPS = 20, 25
"""The running mean takes one of `SHARE` parts of a curve's steps, and at most `MOST_STEPS` of them."""


def curves(study: Study, metrics: dict[str, list[Curve]]) -> Figure:
    """Draw a panel per metric and a line per point; points that differ only in their seed share a colour."""
    labels = list(dict.fromkeys(curve.label for of_metric in metrics.values() for curve in of_metric))
    named = len(labels) <= MOST_NAMED
    width = 3.0 * len(metrics) + 0.4
    figure = style.new_figure(width, 2.9)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    colours = dict(zip(labels, _colours(len(labels)), strict=True))
    for axes, (metric, of_metric) in zip(panels, metrics.items(), strict=True):
        style.light_grid(axes)
        for curve in of_metric:
            window = window_of(curve)
            if window > 1:
                axes.plot(curve.steps, curve.values, color=colours[curve.label], alpha=0.3, linewidth=0.7)
            axes.plot(
                curve.steps,
                running_mean(curve.values, window),
                color=colours[curve.label],
                label=curve.label,
                linestyle="-" if curve.state in TRAINED else ":",
                linewidth=1.3,
            )
        axes.set_title(metric, loc="left")
        axes.set_xlabel("optimizer step")
    legend = style.common_legend(panels, width) if named and len(labels) > 1 else style.Legend({}, 1)
    figure.set_figheight(2.9 + legend.height)
    style.describe_figure(figure, study, "Training", _note(metrics), legend)
    return figure


def window_of(curve: Curve) -> int:
    """Return the number of logged steps in the running mean of a curve; 1 for a curve that is drawn as it is."""
    return max(1, min(len(curve.steps) // SHARE, MOST_STEPS))


def _colours(count: int) -> list[str]:
    if count <= len(style.PALETTE):
        return list(style.PALETTE[:count])
    import matplotlib
    from matplotlib.colors import to_hex

    ramp = matplotlib.colormaps["viridis"]
    return [to_hex(ramp(0.95 * index / (count - 1))) for index in range(count)]


def _note(metrics: dict[str, list[Curve]]) -> str:
    points = max(len(of_metric) for of_metric in metrics.values())
    note = f"{points} point{'s' if points > 1 else ''}"
    window = max(window_of(curve) for of_metric in metrics.values() for curve in of_metric)
    if window > 1:
        note += f"; running mean over at most {window} logged steps, single steps faint behind it"
    unfinished = any(curve.state not in TRAINED for of_metric in metrics.values() for curve in of_metric)
    return note + ("; dotted: not finished." if unfinished else ".")


def _figures(study: Study) -> dict[str, Figure]:
    return {"training": curves(study, data.training_curves(study))}


FIGURE = StudyFigure(
    lambda study: bool(data.training_curves(study)), _figures, lambda name: "Training curves.", order=40
)
