"""A table of the paper, without its form: cells of several short lines, notes, and its numbers for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdpo.analysis.gains import GainVerdict


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: The first line.
        details: Further lines, such as a gain with its interval.
        verdict: The verdict that the last line of details ends with; written as a word or as a mark.
        paper: The number that the paper prints; empty for none.
    """

    text: str
    details: tuple[str, ...] = ()
    verdict: GainVerdict | None = None
    paper: str = ""


EMPTY = Cell("–")


@dataclass(frozen=True)
class TableRow:
    """A row of a table: its name, and its cells."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class PaperTable:
    """A table that is written as LaTeX, Markdown and CSV.

    Attributes:
        name: The name of its files, such as `table_2`.
        title: The caption.
        headings: The headings of the columns, that of the rows' names first.
        sections: The rows, in groups that a line divides.
        notes: Lines below the table.
        records: The numbers for other programs, one mapping a line of the CSV file.
    """

    name: str
    title: str
    headings: Sequence[str]
    sections: Sequence[Sequence[TableRow]]
    notes: Sequence[str] = ()
    records: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def verdicts(self) -> bool:
        """True if any cell has a verdict."""
        return any(cell.verdict for section in self.sections for row in section for cell in row.cells)
