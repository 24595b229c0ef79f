"""Write the tables and figures of the paper that suit some results, and an index of what is made and what is not."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.analysis.comparable import ComparablePart, comparable_parts
from mmdpo.analysis.figures.data import Panel
from mmdpo.analysis.figures.drawing import Drawing, drawn_with
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.paper.agreement import Agreement, agreement_table, draw_agreement
from mmdpo.analysis.paper.correlations_table import benchmark_pairs, correlation_table, length_pairs
from mmdpo.analysis.paper.latex import latex
from mmdpo.analysis.paper.markdown import escape, markdown
from mmdpo.analysis.paper.methods_table import methods_table
from mmdpo.analysis.paper.noisy_table import noisy_pairs, noisy_table
from mmdpo.analysis.paper.scaling import draw_scaling, paper_curve, scaling_panel
from mmdpo.analysis.paper.table import PaperTable
from mmdpo.analysis.study import Study
from mmdpo.files import atomic_write, read_json, spreadsheet_cell, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INDEX = "README.md"
FIGURE_FILES = ("pdf", "png", "txt")
MADE = ".made.json"
"""The file that names what a call has written, so that the next one removes what it does not write again."""


@dataclass
class Paper:
    """A folder of tables and figures while it is written.

    Attributes:
        folder: The folder.
        plain: Whether tables have no caption and no notes, and figures no title; they stand in text files.
        made: The written tables and figures: names of files, and what they show.
        missing: What is not made, and why.
    """

    folder: Path
    plain: bool = False
    made: list[tuple[list[str], str]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)

    def add_table(self, table: PaperTable) -> None:
        """Write a table as LaTeX, Markdown and CSV."""
        caption = "\n".join([table.title, *table.notes, ""])
        texts = {"tex": latex(table, self.plain), "md": markdown(table, self.plain), "txt": caption}
        for suffix, text in texts.items():
            _write(self.folder / f"{table.name}.{suffix}", text)
        with (
            atomic_write(self.folder / f"{table.name}.csv") as aside,
            aside.open("w", encoding="utf-8", newline="") as out,
        ):
            writer = csv.writer(out, lineterminator="\n")
            columns = list(dict.fromkeys(key for record in table.records for key in record))
            writer.writerow(columns)
            for record in table.records:
                writer.writerow([spreadsheet_cell(record.get(key)) for key in columns])
        self.made.append(([f"{table.name}.{suffix}" for suffix in ("tex", "md", "csv", "txt")], table.title))

    def add_figure(self, name: str, title: str, draw: Callable[[], Figure]) -> None:
        """Draw a figure as PNG and PDF, with its caption as a text file."""
        from mmdpo.analysis.figures import style

        with style.applied():
            figure = draw()
            style.save_figure(figure, self.folder / f"{name}.png")
        _write(self.folder / f"{name}.txt", f"{figure.get_label()}\n")
        self.made.append(([f"{name}.{suffix}" for suffix in FIGURE_FILES], title))

    def copy_figure(self, name: str, title: str, drawn: Path) -> None:
        """Copy a figure that was drawn elsewhere, with its caption."""
        for suffix in FIGURE_FILES:
            with atomic_write(self.folder / f"{name}.{suffix}") as aside:
                shutil.copyfile(drawn.with_suffix(f".{suffix}"), aside)
        self.made.append(([f"{name}.{suffix}" for suffix in FIGURE_FILES], title))


def write_paper(
    study: Study | None,
    agreements: Sequence[Agreement],
    folder: Path,
    drawing: Drawing | None = None,
    figures: Path | None = None,
) -> Paper:
    """Write what suits some results into a folder; what an earlier call has written there is replaced.

    Args:
        study: The study, or several as one; None for annotations alone.
        agreements: The agreement of judges with people, from folders of stage=annotate.
        folder: The folder.
        drawing: The settings of the figures; with `plain` also of the tables.
        figures: The folder of the study's figures; one that would be the same is copied and not drawn again.

    Returns:
        What was written and what was not.
    """
    drawing = drawing or Drawing()
    paper = Paper(folder, drawing.plain)
    if study is not None:
        parts = [part for part in comparable_parts(study) if part.study.benchmarks]
        _add_tables(paper, study, parts)
        for number, part in enumerate(parts, 1):
            if panel := scaling_panel(part.study):
                _add_scaling(paper, part, panel, number, replace(drawing, heading=part.heading), figures)
        if not _has(paper, "figure_2"):
            paper.missing.append(
                ("Figure 2", "no results of several shares of the data; type data_scale=0.25,0.5,0.75,1")
            )
    for number, agreement in enumerate(agreements, 1):
        paper.add_table(agreement_table(agreement, _name("agreement", number)))
        with drawn_with(drawing):
            title = "Agreement of the judge's ratings with people's preferences."
            paper.add_figure(_name("figure_3", number), title, partial(draw_agreement, agreement))
    if not agreements:
        paper.missing.append(
            (
                "Figure 3",
                "no ratings of pairs; type python launch.py stage=annotate data=pairs data.path=FILE "
                "judge=NAME, and add the folder that it prints",
            )
        )
    _finish(paper, study)
    return paper


def _add_tables(paper: Paper, study: Study, parts: Sequence[ComparablePart]) -> None:
    gains = study_gains(study)
    for number, part in enumerate(parts, 1):
        paper.add_table(methods_table(part.study, gains, _name("table_2", number), part.heading))
        for pair in noisy_pairs(part.study)[:1]:
            paper.add_table(noisy_table(part.study, pair, _name("table_3", number), part.heading))
        if pairs := benchmark_pairs(part.study):
            paper.add_table(correlation_table(part.study, pairs, _name("correlations", number), part.heading))
        if pairs := length_pairs(part.study):
            paper.add_table(correlation_table(part.study, pairs, _name("length", number), part.heading))
    if not parts:
        paper.missing.append(("Table 2", "no result has a score yet"))
    if not _has(paper, "table_3"):
        reason = "no result has both scores; type 'bench.tasks=[mt_bench,mt_bench_noisy]'"
        paper.missing.append(("Table 3", reason))
    for name, what in (("correlations", "two benchmarks"), ("length", "a benchmark and the length of answers")):
        if not _has(paper, name):
            paper.missing.append((name, f"fewer than three comparable results with {what} that differ"))


def _add_scaling(
    paper: Paper, part: ComparablePart, panel: Panel, number: int, drawing: Drawing, figures: Path | None
) -> None:
    name, title = _name("figure_2", number), f"Score against the share of the data{_of(part)}."
    drawn = figures / f"{_name('data_scaling', number)}.png" if figures and not paper_curve(panel.benchmark) else None
    if drawn and drawn.is_file():
        paper.copy_figure(name, title, drawn)
        return
    with drawn_with(drawing):
        paper.add_figure(name, title, partial(draw_scaling, part.study, panel))


def _finish(paper: Paper, study: Study | None) -> None:
    """Write the index, and remove the files of an earlier call that were not written again."""
    names = [name for files, _ in paper.made for name in files]
    try:
        known = [Path(name).name for name in read_json(paper.folder / MADE)["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        known = []
    for name in set(known) - set(names):
        with contextlib.suppress(OSError):
            (paper.folder / name).unlink()
    _write(paper.folder / INDEX, _index(paper, study))
    write_json(paper.folder / MADE, {"files": names})


def _index(paper: Paper, study: Study | None) -> str:
    of = f" of {escape(study.name)}" if study else ""
    lines = [f"# Tables and figures{of}", ""]
    lines += [f"- {escape(title)} {', '.join(f'[{name}]({name})' for name in files)}" for files, title in paper.made]
    lines += [f"- not made: {name}: {reason}" for name, reason in paper.missing]
    return "\n".join([*lines, ""])


def _of(part: ComparablePart) -> str:
    return f" ({part.heading})" if part.heading else ""


def _has(paper: Paper, name: str) -> bool:
    return any(file.startswith(name) for file in _files(paper))


def _files(paper: Paper) -> Iterable[str]:
    return (name for files, _ in paper.made for name in files)


def _name(name: str, number: int) -> str:
    return f"{name}_{number}" if number > 1 else name


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")
