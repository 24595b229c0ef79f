"""Scores by two numeric axes: heat-maps with the numbers in their cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdpo.analysis.figures import data, style
from mmdpo.analysis.figures.data import Block, Mark, Pattern
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.labels import (
    axis_label,
    benchmark_label,
    decimals,
    half_width,
    short_number,
    sign,
    value_text,
)
from mmdpo.analysis.study import Study
from mmdpo.evaluation.statistics import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.patches import Rectangle

LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601): dark cells take white numbers
FRAMES = (
    "\nFrames: solid, the best of a benchmark; dashed, not distinguishable from it on the same items (corrected for "
    "the number of its cells, Holm)."
)


def grid(study: Study, pattern: Pattern, blocks: list[list[Block]]) -> Figure:
    """Draw a row per benchmark and a column per value of the other axes; colour is the gain over the base.

    Args:
        study: The study, for title and caption.
        pattern: The form of the picture.
        blocks: The heat-maps: of a benchmark each row.
    """
    lines, columns = len(blocks), len(blocks[0])
    width, height = 0.85 * len(blocks[0][0].xs), 0.5 * len(blocks[0][0].ys)
    figure = style.new_figure(max(6.4, columns * (width + 0.5) + 1.6), lines * (height + 0.85) + 0.9)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for line, of_benchmark in zip(panels, blocks, strict=True):
        image = None
        for axes, block in zip(line, of_benchmark, strict=True):
            image = _draw(axes, block, of_benchmark)
            name = benchmark_label(block.benchmark) if block is of_benchmark[0] else ""
            axes.set_title("  ·  ".join(part for part in (name, block.label) if part), loc="left")
            axes.set_xticks(range(len(block.xs)), [value_text(pattern.x, x) for x in block.xs])
            axes.set_yticks(range(len(block.ys)), [value_text(pattern.y, y) for y in block.ys])
        base = of_benchmark[0].base
        if image is not None:
            bar = figure.colorbar(image, ax=list(line), shrink=0.9, pad=0.01)
            bar.outline.set_visible(False)
            bar.set_label("score" if base is None else f"gain over base\n({_number(base)})", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel(axis_label(pattern.x))
    for axes in panels[:, 0]:
        axes.set_ylabel(axis_label(pattern.y))
    centred = all(line[0].base is not None for line in blocks)
    colours = "Colour: difference from the base; white is no difference. " if centred else ""
    marked = [mark for line in blocks for block in line for row in block.marks for mark in row]
    frames = FRAMES if Mark.best in marked else ""
    note = f"{colours}±: half the {study.resampled()}; {style.interval_note(study).split('; ')[-1]}{frames}"
    style.describe_figure(figure, study, f"Scores by {axis_label(pattern.x)} and {axis_label(pattern.y)}", note)
    return figure


def _draw(axes: Axes, block: Block, alike: list[Block]) -> AxesImage:
    import numpy as np
    from matplotlib.colors import Normalize, TwoSlopeNorm

    values = np.array([[np.nan if cell is None else cell.value for cell in line] for line in block.cells])
    shown = [cell.value for other in alike for line in other.cells for cell in line if cell is not None]
    norm: Normalize
    if block.base is None:
        norm, colours = Normalize(min(shown), max(shown)), "cividis"
    else:
        values = sign(block.benchmark) * (values - block.base.value)
        reach = max([abs(value - block.base.value) for value in shown] + [_noise(block.base)])
        norm, colours = TwoSlopeNorm(0, -reach, reach), "RdBu"
    image = axes.imshow(values, cmap=colours, norm=norm, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for y, line in enumerate(block.cells):
        for x, cell in enumerate(line):
            if cell is None:
                axes.text(x, y, "–", ha="center", va="center", color=style.GREY)
                continue
            colour = image.cmap(norm(values[y, x]))
            dark = sum(weight * part for weight, part in zip(LUMINANCE, colour[:3], strict=True)) < 0.5
            axes.text(
                x,
                y,
                _number(cell),
                ha="center",
                va="center",
                fontsize=8.5,
                color="white" if dark else "black",
            )
            if block.marks and block.marks[y][x] is not Mark.other:
                axes.add_patch(_frame(x, y, block.marks[y][x]))
    return image


def _frame(x: int, y: int, mark: Mark) -> Rectangle:
    """Return the frame of a cell: solid around the best one, dashed around those that are not distinguishable."""
    from matplotlib.patches import Rectangle

    best = mark is Mark.best
    line, width = ("-", 2.2) if best else ((0, (2, 1.5)), 1.1)
    return Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor="black", linewidth=width, linestyle=line)


def _noise(base: Score) -> float:
    """Return the least reach of the colours, so that differences within the interval stay pale."""
    half = half_width(base)
    return 2 * half if half > 0 else 1e-9


def _number(score: Score) -> str:
    places = decimals([score])
    half = half_width(score)
    interval = "" if half != half else f" ±{short_number(half, places)}"
    return f"{score.value:.{places}f}{interval}"


def _suits(study: Study) -> bool:
    return data.pattern(study).kind == "grid"


def _figures(study: Study) -> dict[str, Figure]:
    pattern = data.pattern(study)
    return {"scores": grid(study, pattern, data.heatmaps(study, pattern))}


FIGURE = StudyFigure(_suits, _figures, lambda name: "Scores of every point.", order=20)
