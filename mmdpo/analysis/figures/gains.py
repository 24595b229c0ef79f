"""Gains of all results over their base, with paired intervals and verdicts: one row per result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import style
from mmdpo.analysis.figures.dots import MOST_ROWS, best_rows
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.gains import Gain, GainVerdict, study_gains
from mmdpo.analysis.groups import Group, base_of, groups, references
from mmdpo.analysis.labels import benchmark_label, sign
from mmdpo.analysis.study import Study
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 4
"""The number of panels beside each other; more continue below."""
COLOURS: dict[GainVerdict | None, str] = {
    GainVerdict.better: "#0072B2",
    GainVerdict.worse: "#B3400A",
    GainVerdict.unclear: "#6B6B6B",
    None: "#8C510A",
}
MARKERS: dict[GainVerdict | None, str] = {
    GainVerdict.better: "^",
    GainVerdict.worse: "v",
    GainVerdict.unclear: "o",
    None: "D",
}


def forest(study: Study, rows: list[Group]) -> Figure:
    """Draw a panel per benchmark and a row per result.

    Args:
        study: The study.
        rows: The reference models other than the base, and the results.
    """
    gains = study_gains(study)
    rows = [group for group in rows if any(gains.of(group, name) for name in study.benchmarks)]
    shown = best_rows(rows, study.benchmarks[0])
    benchmarks = [name for name in study.benchmarks if any(gains.of(group, name) for group in shown)]
    lines = math.ceil(len(benchmarks) / MOST_PANELS)
    columns = math.ceil(len(benchmarks) / lines)
    name_width = 0.075 * max(len(group.label) for group in shown)
    width, height = 2.6 * columns + name_width + 0.2, (0.27 * len(shown) + 0.65) * lines + 1.0
    figure = style.new_figure(max(style.LEAST_WIDTH, width), height)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(benchmarks) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, benchmarks, strict=False):
        found = [gains.of(group, name) for group in shown]
        _draw(axes, found)
        down = ", lower is better" if sign(name) < 0 else ""
        axes.set_title(f"{benchmark_label(name)}{down}", loc="left")
    grid[0, 0].set_yticks(range(len(shown)), [group.label for group in shown])
    grid[0, 0].set_ylim(len(shown) - 0.4, -0.6)
    style.describe_figure(figure, study, "Gain over the base", _note(study, rows, gains.comparisons))
    return figure


def _draw(axes: Axes, found: list[Gain | None]) -> None:
    style.light_grid(axes, "x")
    axes.axvline(0, color=style.REFERENCE_COLOURS[Role.base], linestyle=style.REFERENCE_DASHES[Role.base], linewidth=1)
    estimates = [gain.estimate for gain in found if gain]
    reach = max([abs(one.value) for one in estimates] + [abs(end) for one in estimates for end in (one.low, one.high)])
    places = 3 if reach < 0.1 else 1 if reach >= 20 else 2
    for y, gain in enumerate(found):
        if gain is None:
            continue
        estimate, colour = gain.estimate, COLOURS[gain.verdict]
        if not math.isnan(estimate.low):
            axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=1.4)
        axes.plot(estimate.value, y, marker=MARKERS[gain.verdict], color=colour, zorder=3)
        axes.text(
            1.02,
            y,
            f"{estimate.value:+.{places}f} {_word(gain)}".replace("-", "−").rstrip(),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=colour,
        )
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)


def _word(gain: Gain) -> str:
    """Return the verdict in a word that fits beside a panel."""
    if gain.verdict is GainVerdict.unclear:
        return "unclear"
    return str(gain.verdict or "")


def _note(study: Study, rows: list[Group], comparisons: int) -> str:
    count = f"{comparisons} comparison{'s' if comparisons != 1 else ''}"
    text = (
        f"Lines: {100 * study.confidence:g} % intervals of the paired difference on the same items, over items and "
        f"seeds.\nbetter, worse: the verdict of the whole study, corrected for {count} (Holm); "
        "unclear: not distinguishable from the base."
    )
    single = [group for group in rows if group.role == Role.trained and len(group.rows) == 1]
    if single:
        text += "\nResults of one seed: the interval is about this one model, not about the training."
    if len(rows) > MOST_ROWS:
        text += f"\nThe best {MOST_ROWS} of {len(rows)} rows."
    return text


def _rows(study: Study) -> list[Group]:
    """Return the results and reference models that have a base."""
    found = [*references(study), *groups(study)]
    return [group for group in found if (base := base_of(study, group)) is not None and base.rows != group.rows]


def _suits(study: Study) -> bool:
    rows = _rows(study)
    return any(group.role == Role.trained for group in rows) and bool(study_gains(study).by_group)


CAPTION = "Gains over the base on the same items, with intervals and verdicts."
FIGURE = StudyFigure(
    _suits,
    lambda study: {"gains": forest(study, _rows(study))},
    lambda name: CAPTION,
    order=15,
    by_part=False,  # each result is compared with the base of its own judge and settings
)
