"""Scores against one numeric axis, a panel per benchmark."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.data import Dot, Panel, Pattern, ReferenceLine
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.labels import SHARES, axis_label, benchmark_label, value_text
from mmdpo.analysis.study import Study
from mmdpo.evaluation.statistics import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOGARITHMIC = ("lr",)
GAINS = (
    "Thick bars: the interval of the gain over the base on the same items, not corrected for their number; the "
    "figure of gains has the verdicts."
)


def small_multiples(study: Study, pattern: Pattern, panels: list[Panel]) -> Figure:
    """Draw one panel per benchmark, two side by side.

    Args:
        study: The study, for title and caption.
        pattern: The form of the picture.
        panels: The data of the panels.
    """
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = style.new_figure(3.6 * columns + 0.4, 2.6 * lines + 1.0)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        draw_panel(axes, panel)
        axes.set_title(benchmark_label(panel.benchmark), loc="left")
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    legend = style.common_legend(grid.flat[: len(panels)], figure.get_figwidth())
    subject = f"Scores against {_axis_name(pattern.x)}"
    style.describe_figure(figure, study, subject, panel_notes(study, panels), legend)
    return figure


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw the series and reference lines of one panel."""
    from matplotlib.transforms import offset_copy

    scale = 100 if panel.x in SHARES else 1
    logarithmic = panel.x in LOGARITHMIC
    style.light_grid(axes)
    for number, reference in enumerate(panel.references):
        look = dashes(number, reference)
        axes.axhline(reference.score.value, label=reference.label, zorder=1, **look)
        if reference.role in style.REFERENCE_COLOURS and not math.isnan(reference.score.low):
            low, high = reference.score.low, reference.score.high
            axes.axhspan(low, high, color=look["color"], alpha=0.10, linewidth=0, zorder=0)
    for number, series in enumerate(panel.series):
        colour, marker = style.PALETTE[number % 8], style.MARKERS[number % 8]
        xs = [dot.x * scale for dot in _dodged(series.dots, panel, number)]
        values = [dot.score.value for dot in series.dots]
        axes.errorbar(
            xs,
            values,
            yerr=_error_bars([dot.score for dot in series.dots]),
            label=series.label if len(panel.series) > 1 else None,
            color=colour,
            marker=marker,
            capsize=2.5,
            elinewidth=1.0,
            zorder=3,
        )
        for x, dot in zip(xs, series.dots, strict=True):
            if dot.gain and _has_room(panel):
                axes.plot([x, x], dot.gain, color=colour, linewidth=4.5, alpha=0.45, solid_capstyle="butt", zorder=2.5)
            # A few points to the right, where the interval does not hide them.
            beside = offset_copy(axes.transData, axes.get_figure(root=True), x=6, y=0, units="points")
            axes.plot(
                [x] * len(dot.seeds),
                dot.seeds,
                "o",
                color=colour,
                alpha=0.55,
                markersize=4,
                markeredgewidth=0,
                transform=beside,
            )
    ticks = sorted({dot.x for series in panel.series for dot in series.dots})
    if logarithmic:
        axes.set_xscale("log")
    if len(ticks) <= 8:
        texts = [value_text(panel.x, x).removesuffix(" %") for x in ticks]
        axes.set_xticks([x * scale for x in ticks], texts)
        axes.minorticks_off()
    axes.set_xlabel(axis_label(panel.x))
    axes.margins(x=0.06, y=0.12)


def _error_bars(scores: list[Score]) -> list[list[float]]:
    """Return the distances down and up; 0 if there is no interval."""
    pairs = [
        (0.0, 0.0) if math.isnan(s.low) else (max(0.0, s.value - s.low), max(0.0, s.high - s.value)) for s in scores
    ]
    return [[down for down, _ in pairs], [up for _, up in pairs]]


def _dodged(dots: tuple[Dot, ...], panel: Panel, number: int) -> list[Dot]:
    """Move series a little apart, so that their intervals do not hide each other."""
    offset = number - (len(panel.series) - 1) / 2
    xs = [dot.x for series in panel.series for dot in series.dots]
    if panel.x in LOGARITHMIC:
        factor = (max(xs) / min(xs)) ** (0.012 * offset)
        return [replace(dot, x=dot.x * factor) for dot in dots]
    step = 0.012 * (max(xs) - min(xs)) * offset
    return [replace(dot, x=dot.x + step if dot.x else 0.0) for dot in dots]


def dashes(number: int, reference: ReferenceLine) -> dict[str, Any]:
    """Return the line style of a reference."""
    return {
        "color": style.REFERENCE_COLOURS.get(reference.role, style.PALETTE[-1 - number % 8]),
        "linestyle": style.REFERENCE_DASHES.get(reference.role, (0, (1, 1))),
        "linewidth": 1.3,
    }


def _axis_name(key: str) -> str:
    return axis_label(key).removesuffix(" (%)")


def panel_notes(study: Study, panels: list[Panel]) -> str:
    """Return the caption of panels: the interval, n, seeds, and that the y-axis is cut."""
    several = any(dot.seeds for panel in panels for series in panel.series for dot in series.dots)
    seeds = (
        " Lines join means over seeds, with bars over items and seeds; faint dots are single seeds." if several else ""
    )
    zoom = "The y-axis does not" if len(panels) == 1 else "The y-axes do not"
    bands = " Bands: the same of the dashed lines." if any(map(_has_band, panels)) else ""
    bars = style.interval_note(study, [panel.benchmark for panel in panels])
    shown = [panel for panel in panels if _has_room(panel)]
    gains = any(dot.gain for panel in shown for series in panel.series for dot in series.dots)
    return f"{bars}{bands}{seeds}\n{GAINS if gains else style.NOT_COMPARED}\n{zoom} start at 0."


def _has_room(panel: Panel) -> bool:
    """Return whether the bars of gains do not hide those of other series."""
    return len(panel.series) == 1


def _has_band(panel: Panel) -> bool:
    return any(one.role in style.REFERENCE_COLOURS and not math.isnan(one.score.low) for one in panel.references)


def _suits(study: Study) -> bool:
    return data.pattern(study).kind in ("scaling", "curve")


def _figures(study: Study) -> dict[str, Figure]:
    pattern = data.pattern(study)
    return {"scores": small_multiples(study, pattern, data.score_panels(study, pattern))}


FIGURE = StudyFigure(_suits, _figures, lambda name: "Scores of every point.", order=20)
