"""One line of dots a point: scores of a study without a numeric axis, and the parts of a score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import style
from mmdpo.analysis.figures.data import Group, Pattern
from mmdpo.analysis.labels import benchmark_label, decimals
from mmdpo.analysis.points import BASE, BEFORE, TRAINED, Score, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 40
SCALES = (1.0, 4.0, 10.0, 100.0)  # a share, a rating, a score, a percentage


def scores(study: Study, pattern: Pattern, groups: list[Group]) -> Figure:
    """Every benchmark's score of every point."""
    figure = _rows(study, study.benchmarks, [benchmark_label(b) for b in study.benchmarks], groups, full=False)
    style.describe(figure, study, "Scores", f"{_note(study, groups)}\nThe x-axes do not start at 0.")
    return figure


def parts(study: Study, benchmark: str, metrics: list[str], groups: list[Group]) -> Figure:
    """What a score is made of, on the parts' whole scales, and the answers' length."""
    names = [metric.split("/")[1].replace("_", " ") for metric in metrics]
    labels = ["answer length (words)" if name == "words" else name for name in names]
    figure = _rows(study, metrics, labels, groups, full=True)
    note = f"{_note(study, groups, benchmark)}\nThe x-axes show the whole scale from 0."
    style.describe(figure, study, f"Parts of the score: {benchmark_label(benchmark)}", note)
    return figure


def _rows(study: Study, metrics: list[str], titles: list[str], groups: list[Group], *, full: bool) -> Figure:
    groups = _kept(groups, metrics[0])
    name_width = 0.075 * max(len(group.label) for group in groups)
    figure = style.new_figure(1.75 * len(metrics) + name_width + 0.3, 0.27 * len(groups) + 1.35)
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axes, metric, title in zip(panels, metrics, titles, strict=True):
        _draw(axes, metric, groups, full=full)
        axes.set_title(title, loc="left")
    panels[0].set_yticks(range(len(groups)), [group.label for group in groups])
    panels[0].set_ylim(len(groups) - 0.4, -0.6)
    return figure


def _draw(axes: Axes, metric: str, groups: list[Group], *, full: bool) -> None:
    found = [(y, group, score) for y, group in enumerate(groups) if (score := group.score(metric)) is not None]
    places = decimals([score for _, _, score in found])
    style.light_grid(axes, "x")
    for y, group, score in found:
        colour = style.REFERENCE_COLOURS.get(group.role, style.PALETTE[0])
        if group.role in (BASE, BEFORE):
            axes.axvline(score.value, color=colour, linestyle=style.REFERENCE_DASHES[group.role], linewidth=1, zorder=1)
        if not math.isnan(score.low):
            axes.plot([score.low, score.high], [y, y], color=colour, linewidth=1.4, zorder=2)
        axes.plot(group.seeds(metric), [y] * len(group.seeds(metric)), "o", color=colour, alpha=0.3, markersize=3.5)
        marker = "o" if group.role == TRAINED else "D"
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
        top = max(max(score.value, score.high) for _, _, score in found if not math.isnan(score.high))
        axes.set_xlim(0, _scale(metric, top))
    else:
        axes.margins(x=0.12)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=3)


def _scale(metric: str, top: float) -> float:
    """Where the axis ends: the end of the metric's scale, or a little above the longest answer."""
    if metric.endswith("/words"):
        return 1.15 * top
    # An interval may reach past the scale's end by rounding or by a normal approximation.
    return next((scale for scale in SCALES if top <= 1.02 * scale), 1.15 * top)


def _kept(groups: list[Group], metric: str) -> list[Group]:
    """At most `MOST_ROWS`: the reference models and the best points, in their order."""
    if len(groups) <= MOST_ROWS:
        return groups
    by_score = sorted(groups, key=lambda group: (group.role == TRAINED, -_value(group.score(metric))))
    kept = {id(group) for group in by_score[:MOST_ROWS]}
    return [group for group in groups if id(group) in kept]


def _value(score: Score | None) -> float:
    return -math.inf if score is None else score.value


def _note(study: Study, groups: list[Group], benchmark: str | None = None) -> str:
    note = style.interval_note(study, [benchmark] if benchmark else None)
    if any(len(group.rows) > 1 for group in groups):
        note += " Means over seeds; faint dots are single seeds."
    if len(groups) > MOST_ROWS:
        note += f" The best {MOST_ROWS} of {len(groups)} rows."
    return note
