"""The style of all figures, and how they are written: equal data makes equal bytes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.figures.drawing import current
from mmdpo.analysis.labels import METHODS
from mmdpo.analysis.study import Study
from mmdpo.analysis.table import items_text
from mmdpo.files import atomic_write
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette for colour-blind readers, without its yellow, which is pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
REFERENCE_COLOURS: dict[str, str] = {Role.base: "#555555", Role.before_visual_tuning: "#8C510A", Role.start: "#35978F"}
REFERENCE_DASHES: dict[str, Any] = {
    Role.base: (0, (5, 2)),
    Role.before_visual_tuning: (0, (2, 2)),
    Role.start: (0, (5, 2, 1, 2)),
}
GREY = "#555555"


TITLE_LINE = 13.2  # points: the title's size and leading
LEGEND_LINE = 0.2  # inches
NOT_COMPARED = "Bars that overlap do not show that results are alike: compare them by their gains on the same items."
LETTERS_PER_INCH = 11  # of a title
SMALL_LETTERS_PER_INCH = 17.5  # of the notes
NOTE_LINE = 9.0  # points: the notes' size and leading
NOTE_LINES = 2  # for which figures leave room; more make a figure higher
LEAST_WIDTH = 5.0  # inches: room for a title, and notes of few lines


@dataclass(frozen=True)
class Legend:
    """The handles of a figure's common legend, and its number of columns."""

    handles: dict[str, Any]
    columns: int

    @property
    def height(self) -> float:
        """The height in inches."""
        return LEGEND_LINE * math.ceil(len(self.handles) / self.columns)


def common_legend(panels: Iterable[Axes], width: float) -> Legend:
    """Make the legend that the panels of a figure (`width` in inches) share."""
    from matplotlib.container import ErrorbarContainer

    named = [pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    named.sort(key=lambda pair: not isinstance(pair[0], ErrorbarContainer))  # measured lines before dashed
    handles = {label: handle for handle, label in named}
    longest = max(map(len, handles), default=0)
    fitting = int(width / (0.45 + 0.075 * longest))
    return Legend(handles, max(1, min(len(handles), fitting)))


@contextmanager
def applied() -> Iterator[None]:
    """Apply the style to all that is drawn and saved within the block."""
    import matplotlib

    settings: Any = {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "figure.titlesize": 11,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "pdf.fonttype": 42,
        "text.parse_math": False,  # a "$" in a name is a dollar
        "savefig.dpi": 150,
    }
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def describe_figure(figure: Figure, study: Study, subject: str, notes: str, legend: Legend | None = None) -> None:
    """Add title, legend and caption to a figure of a study, as `add_texts` does.

    Args:
        figure: The figure.
        study: The study, named in the title with its model and method.
        subject: The first line of the title.
        notes: The caption: how to read the figure.
        legend: The common legend, below the title.
    """
    models = _names(study, "model")
    methods = sorted({str(row.axes.get("method")) for row in study.trained if row.axes.get("method")})
    method = METHODS.get(methods[0], methods[0]) if len(methods) == 1 else ""
    parts = (f"study {study.name}", f"model {models}" if models else "", method)
    if pruned := sum(bool(row.pruned) for row in study.trained):
        notes += f" {pruned} pruned point{'s have' if pruned > 1 else ' has'} no score."
    add_texts(figure, [subject, ", ".join(part for part in parts if part)], notes, legend)


def add_texts(figure: Figure, title: list[str], notes: str, legend: Legend | None = None) -> None:
    """Add title, legend and notes to a figure; to a plain one, the legend only. Long notes make the figure higher.

    The label of the figure becomes the text that its caption file holds.

    Args:
        figure: The figure.
        title: The lines of the title.
        notes: How to read the figure.
        legend: The common legend, below the title.
    """
    drawing = current()
    figure.set_label("\n".join([*(f"{line}." for line in [*title, drawing.heading] if line), notes]))
    width = _letters(figure, SMALL_LETTERS_PER_INCH)
    wrapped = [part for line in notes.splitlines() for part in textwrap.wrap(line, width)]
    if not drawing.plain:
        more = max(0, len(wrapped) - NOTE_LINES) * NOTE_LINE / 72
        figure.set_figheight(figure.get_figheight() + more)
    lines = [] if drawing.plain else [*title, *textwrap.wrap(drawing.heading, _letters(figure, LETTERS_PER_INCH))]
    legend = legend or Legend({}, 1)
    room = math.ceil(legend.height * 72 / TITLE_LINE)  # blank lines keep the legend's place
    text = "\n".join([*lines, *[""] * room]) if lines else "\n" * (room - 1)
    if text:
        figure.suptitle(text, x=0.01, ha="left")
    if legend.handles:
        below_title = 1 - ((len(lines) + 0.5 * bool(lines)) * TITLE_LINE / 72) / figure.get_figheight()
        figure.legend(
            legend.handles.values(),
            legend.handles.keys(),
            loc="upper left",
            bbox_to_anchor=(0.0, below_title),
            ncols=legend.columns,
        )
    if not drawing.plain:
        figure.supxlabel("\n".join(wrapped), x=0.01, ha="left", fontsize=7.5, color=GREY)


def _letters(figure: Figure, per_inch: float) -> int:
    return int(figure.get_figwidth() * per_inch)


def interval_note(study: Study, benchmarks: list[str] | None = None) -> str:
    """Return the part of a caption that explains the bars and n."""
    return f"Bars: {study.resampled(benchmarks)}; {items_text(study, benchmarks)}."


def light_grid(axes: Axes, axis: str = "y") -> None:
    """Draw faint grid lines along one axis."""
    axes.grid(visible=True, axis="x" if axis == "x" else "y", color="#DDDDDD", linewidth=0.6)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write PNG and PDF without dates, so that equal data makes equal bytes; returns the PNG."""
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with atomic_write(path.with_suffix(suffix)) as aside:
            figure.savefig(aside, format=suffix[1:], metadata=metadata)
        figure.set_layout_engine("none")  # the layout found once serves both
    return path


def _names(study: Study, group: str) -> str:
    found = {str(row.group(group).get("name", "")) for row in study.rows if row.config}
    return ", ".join(sorted(found - {""}))
