"""Figure 3 of the paper: correlations of a judge's ratings with people's preferences and with each other."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.analysis.figures import style
from mmdpo.analysis.paper.correlation import Correlation, correlate
from mmdpo.analysis.paper.numbers import p_text, plain_number
from mmdpo.analysis.paper.published import read_published
from mmdpo.analysis.paper.table import Cell, PaperTable, TableRow
from mmdpo.errors import UserError
from mmdpo.judge.differences import TABLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

PREFERENCE = "preference"
DARK = 0.6
"""The size of a correlation from which its cell is dark."""
CODING = (
    "The preference is coded 1 or 2, and a rating's difference is the first answer's minus the second's: a negative "
    "correlation with the preference is agreement."
)


@dataclass(frozen=True)
class Agreement:
    """Correlations of the preference and of the differences of ratings.

    Attributes:
        variables: The preference and the rated attributes.
        n: The number of pairs of answers.
        cells: The correlations by two variables, in the order of `variables`; None for one that does not vary.
        confidence: The level of their intervals.
    """

    variables: tuple[str, ...]
    n: int
    cells: Mapping[tuple[str, str], Correlation | None]
    confidence: float


def is_annotations(folder: Path) -> bool:
    """Return whether a folder holds the result of stage=annotate."""
    return (folder / "annotations.jsonl").is_file() or (folder / TABLE).is_file()


def read_agreement(folder: Path, confidence: float = 0.95) -> Agreement:
    """Read the differences in the folder that stage=annotate wrote for a file of preference pairs.

    Raises:
        UserError: There is no such table, or it is damaged.
    """
    path = folder / TABLE
    if not path.is_file():
        raise UserError(
            f"{folder}: there is no {TABLE}, which stage=annotate writes for pairs that people chose from: type "
            "python launch.py stage=annotate data=pairs data.path=FILE judge=NAME"
        )
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [*csv.DictReader(lines)]
        names = [PREFERENCE, *(name for name in rows[0] if name not in ("id", PREFERENCE))] if rows else [PREFERENCE]
        columns = {name: [float(row[name]) for row in rows] for name in names}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); rerun the command of stage=annotate to make it again") from None
    cells = {
        (first, second): correlate(columns[first], columns[second], confidence)
        for index, first in enumerate(names)
        for second in names[index + 1 :]
    }
    return Agreement(tuple(names), len(rows), cells, confidence)


def published_agreement() -> dict[tuple[str, str], float]:
    """Return the paper's correlations by two variables."""
    found = read_published()["agreement"]
    names = found["variables"]
    return {
        (names[row], names[row + 1 + column]): value
        for row, values in enumerate(found["upper"])
        for column, value in enumerate(values)
    }


def agreement_table(agreement: Agreement, name: str = "agreement") -> PaperTable:
    """Make the table of all correlations beside the paper's."""
    printed, rows, records = published_agreement(), [], []
    for (first, second), found in agreement.cells.items():
        paper = printed.get((first, second))
        cells = [Cell("–")] * 3
        if found:
            cells = [Cell(f"{found.r:+.2f}"), Cell(f"[{found.low:+.2f}, {found.high:+.2f}]"), Cell(p_text(found.p))]
        rows.append(TableRow(f"{first}, {second}", [*cells, Cell("–" if paper is None else f"{paper:+.2f}")]))
        numbers = (found.r, found.low, found.high, found.p) if found else (None,) * 4
        values = dict(zip(("r", "low", "high", "p"), map(plain_number, numbers), strict=True))
        records.append({"first": first, "second": second, **values, "n": agreement.n, "paper": paper})
    return PaperTable(
        name,
        "Ratings of the judge and preferences of people: correlations over pairs of answers.",
        ["", "r", "interval", "p", "paper"],
        [rows],
        _notes(agreement),
        records,
    )


def _notes(agreement: Agreement) -> list[str]:
    of_paper = read_published()["agreement"]["n"]
    return [
        f"n = {agreement.n} pairs of answers (paper: {of_paper}); {100 * agreement.confidence:g} % intervals by "
        "Fisher's transformation, not corrected for their number; –: one of the two does not vary.",
        CODING,
    ]


def draw_agreement(agreement: Agreement) -> Figure:
    """Draw our matrix and, where the variables are the same, the paper's."""
    names = agreement.variables
    ours = {pair: found.r if found else None for pair, found in agreement.cells.items()}
    matrices: list[tuple[str, Mapping[tuple[str, str], float | None]]] = [(f"here, n = {agreement.n}", ours)]
    printed = read_published()["agreement"]
    if list(names) == printed["variables"]:
        matrices.append((f"paper, n = {printed['n']}", published_agreement()))
    figure = style.new_figure(4.1 * len(matrices) + 0.9, 5.0)
    panels = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for axes, (title, cells) in zip(panels, matrices, strict=True):
        image = _draw(axes, names, cells)
        axes.set_title(title, loc="left")
    _write_intervals(panels[0], agreement)
    bar = figure.colorbar(image, ax=list(panels), shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("Pearson's r")
    title = "Agreement of the judge's ratings with people's preferences"
    style.add_texts(figure, [title], "\n".join(_notes(agreement)))
    return figure


def _write_intervals(axes: Axes, agreement: Agreement) -> None:
    names = agreement.variables
    for (first, second), found in agreement.cells.items():
        if found:
            text = f"{found.low:.2f}, {found.high:.2f}".replace("-", "−")
            colour = "white" if abs(found.r) > DARK else "black"
            for x, y in ((names.index(first), names.index(second)), (names.index(second), names.index(first))):
                axes.text(x, y + 0.27, text, ha="center", va="center", fontsize=4.6, color=colour)


def _draw(axes: Axes, names: Sequence[str], cells: Mapping[tuple[str, str], float | None]) -> AxesImage:
    import numpy as np

    size = len(names)
    values = np.full((size, size), np.nan)
    for row, first in enumerate(names):
        for column, second in enumerate(names):
            value = 1.0 if row == column else cells.get((first, second), cells.get((second, first)))
            if value is not None:
                values[row, column] = value
    image = axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(size), names, rotation=40, ha="right")
    axes.set_yticks(range(size), names)
    for row in range(size):
        for column in range(size):
            value = values[row, column]
            text = "–" if np.isnan(value) else f"{value:.2f}".replace("-", "−")
            colour = "white" if abs(value) > DARK else "black"
            axes.text(column, row - 0.05, text, ha="center", va="center", fontsize=8, color=colour)
    return image
