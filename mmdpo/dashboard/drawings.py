"""The charts of the offline page, as SVG; equal data makes equal bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.figures import style
from mmdpo.analysis.labels import axis_label, value_text
from mmdpo.analysis.study import Row, sort_key
from mmdpo.dashboard.panels import (
    Column,
    Dashboard,
    LearningCurves,
    Line,
    ParallelAxes,
    ScoreBars,
    ScoreCurve,
    Source,
    learning_curves,
)
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = ("data_scale", "label_noise")
WIDTH = 6.4  # inches
MOST_NAMED = 12
"""The number of lines up to which there is a legend."""

Chart = ScoreBars | ScoreCurve | LearningCurves | ParallelAxes


def draw(dashboard: Dashboard, panel: Chart) -> str:
    """Draw a panel and return it as the address of an image that holds its data."""
    import matplotlib

    settings: Any = {"svg.hashsalt": panel.title, "svg.fonttype": "none", "font.family": "sans-serif"}
    with style.applied(), matplotlib.rc_context(settings):
        figure = _figure(dashboard, panel)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def _figure(dashboard: Dashboard, panel: Chart) -> Figure:
    match panel:
        case ScoreBars():
            return _bars(dashboard, panel)
        case ScoreCurve():
            return _curve(panel)
        case LearningCurves():
            return _learning(dashboard, panel)
        case ParallelAxes():
            return _parallel(dashboard, panel)


def _bars(dashboard: Dashboard, panel: ScoreBars) -> Figure:
    """Draw a row per result with its interval, and a line at the base."""
    found = [(group, score) for group in dashboard.results if (score := group.score(panel.key)) is not None]
    figure = style.new_figure(WIDTH, 0.7 + 0.3 * len(found))
    axes = figure.add_subplot()
    style.light_grid(axes, "x")
    for place, (group, score) in enumerate(found):
        colour = _colour(group.role, 0)
        axes.errorbar([score.value], [place], xerr=_bars_of([score]), fmt="o", color=colour, capsize=2.5)
        if group.role == Role.base:
            axes.axvline(score.value, color=colour, linestyle=style.REFERENCE_DASHES[Role.base], linewidth=1, zorder=1)
    axes.set_yticks(range(len(found)), [group.label for group, _ in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    return figure


def _curve(panel: ScoreCurve) -> Figure:
    figure = style.new_figure(WIDTH, 3.6)
    axes = figure.add_subplot()
    style.light_grid(axes)
    scale = 100 if panel.axis in SHARES else 1
    for line in panel.levels:
        dashes = style.REFERENCE_DASHES.get(line.role, (0, (1, 1)))
        axes.axhline(line.dots[0].score.value, color=_colour(line.role, 0), linestyle=dashes, label=line.label)
    for number, line in enumerate(panel.lines):
        xs = [scale * dot.x for dot in line.dots]
        axes.errorbar(
            xs,
            [dot.score.value for dot in line.dots],
            yerr=_bars_of([dot.score for dot in line.dots]),
            label=line.label or "results",
            color=_colour(line.role, number),
            marker=style.MARKERS[number % len(style.MARKERS)],
            capsize=2.5,
        )
        for x, dot in zip(xs, line.dots, strict=True):
            axes.plot([x] * len(dot.seeds), dot.seeds, "o", color=_colour(line.role, number), alpha=0.4, markersize=3)
    if panel.axis == "lr":
        axes.set_xscale("log")
    _name_ticks(axes, panel.axis, panel.lines, scale)
    axes.set_xlabel(axis_label(panel.axis))
    axes.margins(x=0.06, y=0.12)
    _name_lines(figure, len(panel.lines) + len(panel.levels))
    return figure


def _name_lines(figure: Figure, count: int) -> None:
    """Add a legend above the lines, if there are several and not too many."""
    if 1 < count <= MOST_NAMED:
        figure.legend(loc="outside upper left", ncols=min(count, 3))


def _name_ticks(axes: Axes, axis: str, lines: Sequence[Line], scale: float) -> None:
    ticks = sorted({dot.x for line in lines for dot in line.dots})
    if len(ticks) <= 8:
        axes.set_xticks([scale * x for x in ticks], [value_text(axis, x).removesuffix(" %") for x in ticks])
        axes.minorticks_off()


def _learning(dashboard: Dashboard, panel: LearningCurves) -> Figure:
    """Draw the mean over the seeds of each result, with the range of the seeds."""
    figure = style.new_figure(WIDTH, 3.2)
    axes = figure.add_subplot()
    style.light_grid(axes)
    curves = learning_curves(dashboard.study, panel.metric)
    for number, (label, steps) in enumerate(curves.items()):
        colour = style.PALETTE[number % len(style.PALETTE)]
        xs = sorted(steps)
        axes.plot(xs, [sum(steps[x]) / len(steps[x]) for x in xs], color=colour, label=label, linewidth=1.3)
        if any(len(values) > 1 for values in steps.values()):
            low, high = [min(steps[x]) for x in xs], [max(steps[x]) for x in xs]
            axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("optimizer step")
    _name_lines(figure, len(curves))
    return figure


def _parallel(dashboard: Dashboard, panel: ParallelAxes) -> Figure:
    """Draw a line per finished point; the colour is that of its first score, from low to high."""
    import matplotlib

    rows = [row for row in dashboard.study.trained if row.scores]
    figure = style.new_figure(max(2 * WIDTH, 1.3 * len(panel.columns)), 3.6)
    axes = figure.add_subplot()
    places = [_places(rows, one) for one in panel.columns]
    first = next((number for number, one in enumerate(panel.columns) if one.source is Source.summary), 0)
    ramp = matplotlib.colormaps["viridis"]
    for index, row in enumerate(rows):
        points = [(x, place[row.point]) for x, place in enumerate(places) if row.point in place]
        colour = ramp(0.9 * places[first].get(row.point, 0.0))
        axes.plot(
            [x for x, _ in points], [y for _, y in points], color=colour, linewidth=1, alpha=0.8, zorder=index + 2
        )
    for x, one in enumerate(panel.columns):
        axes.axvline(x, color="#999999", linewidth=1, zorder=1)
        for value, y in _ticks(rows, one, places[x]):
            axes.annotate(
                value,
                (x, y),
                (4, 0),
                textcoords="offset points",
                fontsize=7.5,
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
                zorder=99,
            )
    axes.set_xticks(range(len(panel.columns)), [one.label.replace(" ", "\n", 1) for one in panel.columns])
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(panel.columns) - 0.6)
    axes.spines[:].set_visible(False)
    return figure


def _value(row: Row, column: Column) -> Any:
    if column.source is Source.summary:
        return row.scores[column.key].value if column.key in row.scores else None
    return row.value(column.axis)


def _places(rows: Sequence[Row], column: Column) -> dict[str, float]:
    """Return the height of each point on an axis, from 0 to 1: by value if values are numbers, else by rank."""
    values = {row.point: value for row in rows if (value := _value(row, column)) is not None}
    order = sorted(dict.fromkeys(values.values()), key=sort_key)
    if not order:
        return {}
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in order):
        numbers = [math.log(one) if column.logarithmic else float(one) for one in order]
    else:
        numbers = [float(rank) for rank in range(len(order))]
    low, width = numbers[0], (numbers[-1] - numbers[0]) or 1.0
    heights = dict(zip(order, [(number - low) / width for number in numbers], strict=True))
    return {point: heights[value] for point, value in values.items()}


def _ticks(rows: Sequence[Row], column: Column, places: dict[str, float]) -> list[tuple[str, float]]:
    """Return the texts on an axis with their heights: all values of a few, else the ends."""
    found = {places[row.point]: _value(row, column) for row in rows if row.point in places}
    heights = sorted(found)
    shown = heights if column.source is Source.config and len(heights) <= 8 else [*heights[:1], *heights[1:][-1:]]
    key = column.axis or column.key
    return [(f"{found[y]:.2f}" if column.source is Source.summary else value_text(key, found[y]), y) for y in shown]


def _colour(role: str, number: int) -> str:
    return style.REFERENCE_COLOURS.get(role, style.PALETTE[number % len(style.PALETTE)])


def _bars_of(scores: Sequence[Score]) -> list[list[float]]:
    """Return the distances down and up; 0 if there is no interval."""
    pairs = [(0.0, 0.0) if math.isnan(one.low) else (one.value - one.low, one.high - one.value) for one in scores]
    return [[max(0.0, down) for down, _ in pairs], [max(0.0, up) for _, up in pairs]]
