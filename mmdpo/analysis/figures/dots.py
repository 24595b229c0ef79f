"""Scores of a study without a numeric axis: one line of dots per point."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.groups import Group
from mmdpo.analysis.labels import benchmark_label, decimals, metric_of, sign
from mmdpo.analysis.study import Study
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 40
"""The number of rows up to which all are shown."""
MOST_PANELS = 6
"""The number of panels beside each other; more continue below."""
SCALES = (1.0, 4.0, 10.0, 100.0)
"""Ends of axes for metrics whose scale is unknown: a share, a rating, a score, a percentage."""


def scores(study: Study, groups: list[Group]) -> Figure:
    """Draw every benchmark's score of every point."""
    figure = rows_of_dots(study, study.benchmarks, [benchmark_label(b) for b in study.benchmarks], groups, full=False)
    style.describe_figure(figure, study, "Scores", f"{note(study, groups)}\nThe x-axes do not start at 0.")
    return figure


def rows_of_dots(study: Study, metrics: list[str], titles: list[str], groups: list[Group], *, full: bool) -> Figure:
    """Draw a panel per metric and a row per group.

    Args:
        study: The study.
        metrics: The score keys, one per panel.
        titles: The panels' titles.
        groups: The rows; of too many, the best by the first metric are shown.
        full: Whether the axes show the metrics' whole scales.
    """
    groups = best_rows(groups, metrics[0])
    name_width = 0.075 * max(len(group.label) for group in groups)
    lines = math.ceil(len(metrics) / MOST_PANELS)
    columns = math.ceil(len(metrics) / lines)
    width, height = 1.75 * columns + name_width + 0.3, (0.27 * len(groups) + 0.65) * lines + 0.7
    figure = style.new_figure(max(style.LEAST_WIDTH, width), height)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    for axes, metric, title in zip(grid.flat, metrics, titles, strict=False):
        _draw(axes, metric, groups, full=full)
        axes.set_title(title, loc="left")
    grid[0, 0].set_yticks(range(len(groups)), [group.label for group in groups])
    grid[0, 0].set_ylim(len(groups) - 0.4, -0.6)
    return figure


def _draw(axes: Axes, metric: str, groups: list[Group], *, full: bool) -> None:
    found = [(y, group, score) for y, group in enumerate(groups) if (score := group.score(metric)) is not None]
    places = decimals([score for _, _, score in found])
    style.light_grid(axes, "x")
    for y, group, score in found:
        colour = style.REFERENCE_COLOURS.get(group.role, style.PALETTE[-1 if group.role == Role.imported else 0])
        if group.role in style.REFERENCE_DASHES:
            axes.axvline(score.value, color=colour, linestyle=style.REFERENCE_DASHES[group.role], linewidth=1, zorder=1)
        if not math.isnan(score.low):
            axes.plot([score.low, score.high], [y, y], color=colour, linewidth=1.4, zorder=2)
        axes.plot(group.seeds(metric), [y] * len(group.seeds(metric)), "o", color=colour, alpha=0.3, markersize=3.5)
        marker = "o" if group.role == Role.trained else "D"
        axes.plot(score.value, y, marker=marker, color=colour, zorder=3, clip_on=False)
        axes.text(
            1.02,
            y,
            f"{score.value:.{places}f}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=colour,
        )
    if full:
        ends = [end for _, _, score in found for end in (score.value, score.high) if not math.isnan(end)]
        axes.set_xlim(min([0.0, *ends]), _scale(metric, max(ends, default=0.0)) or 1.0)
    else:
        axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=3)


def _scale(metric: str, top: float) -> float:
    """Return the end of a metric's axis: of its scale, or a little above the highest value."""
    if known := metric_of(metric):
        return known.scale[1] if known.scale else 1.15 * top
    # An interval may reach past the scale's end by rounding or by a normal approximation.
    return next((scale for scale in SCALES if top <= 1.02 * scale), 1.15 * top)


def best_rows(groups: list[Group], metric: str) -> list[Group]:
    """Return at most `MOST_ROWS`: the reference models and the best results by a metric, in their order."""
    if len(groups) <= MOST_ROWS:
        return groups
    better = sign(metric)
    by_score = sorted(groups, key=lambda group: (group.role == Role.trained, -_value(group.score(metric), better)))
    kept = {id(group) for group in by_score[:MOST_ROWS]}
    return [group for group in groups if id(group) in kept]


def _value(score: Score | None, better: int) -> float:
    return -math.inf if score is None else better * score.value


def note(study: Study, groups: list[Group], benchmark: str | None = None) -> str:
    """Return the caption of rows of dots.

    Args:
        study: The study.
        groups: The rows.
        benchmark: The benchmark that is shown; None for all.
    """
    text = style.interval_note(study, [benchmark] if benchmark else None)
    if benchmark is None and len(groups) > 1:
        text += f"\n{style.NOT_COMPARED}"
    if any(len(group.rows) > 1 for group in groups):
        text += " Means over seeds have bars over items and seeds; faint dots are single seeds."
    if len(groups) > MOST_ROWS:
        text += f" The best {MOST_ROWS} of {len(groups)} rows."
    return text


def _suits(study: Study) -> bool:
    return data.pattern(study).kind == "rows"


def _figures(study: Study) -> dict[str, Figure]:
    return {"scores": scores(study, data.dot_rows(study, data.pattern(study)))}


FIGURE = StudyFigure(_suits, _figures, lambda name: "Scores of every point.", order=20)
