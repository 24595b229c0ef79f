"""The result of an audit: tables of numbers, tests and lines, and its forms as text, JSON and DataFrame rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.audit.estimates import Finding, finding_text

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

SHARE, COUNT = ".0%", "d"
"""Formats of numbers."""


@dataclass(frozen=True)
class AuditTable:
    """One table of an audit.

    Attributes:
        name: The name in audit.json.
        title: The heading.
        rows: Cells by column: texts, numbers, estimates, or None for what is unknown.
        formats: The formats of the columns' numbers; the default is two decimals.
        note: How to read the table; empty for none.
        printed: Whether the terminal shows the table; the others are in the files.
        narrow: Columns whose intervals the terminal leaves out.
    """

    name: str
    title: str
    rows: tuple[Mapping[str, Any], ...]
    formats: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    printed: bool = True
    narrow: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns, in the order in which rows name them."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    def cell(self, row: Mapping[str, Any], column: str, narrow: bool = False) -> str:
        """Write the cell of a row; `narrow` leaves out the intervals of the columns `narrow`."""
        value = row.get(column)
        if narrow and column in self.narrow and not isinstance(value, str | int | float | None):
            value = float(value.value)
        return _text(value, self.formats.get(column, ".2f"))

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as plain values: an estimate becomes `<column>`, `<column>_low` and `<column>_high`."""
        found = []
        for row in self.rows:
            record: dict[str, Any] = {}
            for column, value in row.items():
                record |= _plain(column, value)
            found.append(record)
        return found


@dataclass(frozen=True)
class Audit:
    """The audit of annotations or of a study.

    Attributes:
        subject: What was audited, for the heading.
        confidence: The level of the intervals.
        tables: The tables.
        findings: The relations that were tested for, with p values corrected for their number.
        lines: Further facts, a line each.
    """

    subject: str
    confidence: float
    tables: tuple[AuditTable, ...]
    findings: tuple[Finding, ...] = ()
    lines: tuple[str, ...] = ()

    def table(self, name: str) -> AuditTable | None:
        """Return the table of this name; None if the audit has none."""
        return next((one for one in self.tables if one.name == name), None)

    def finding_lines(self) -> list[str]:
        """Return a line for each relation that was tested for."""
        return [finding_text(one, self.confidence) for one in self.findings]

    def json(self) -> dict[str, Any]:
        """Return the audit as JSON-able data."""
        findings = [
            {
                "test": one.name,
                "unit": one.unit,
                **_plain("size", one.estimate),
                "p": _number(one.p),
                "p_corrected": _number(one.p_corrected),
            }
            for one in self.findings
        ]
        return {
            "subject": self.subject,
            "confidence": self.confidence,
            "findings": findings,
            "lines": list(self.lines),
            **{one.name: one.records() for one in self.tables},
        }

    def markdown(self) -> str:
        """Return the audit as a page of Markdown."""
        level = f"{100 * self.confidence:g} %"
        parts = [
            f"# Audit of {_cell(self.subject)}",
            "",
            f"Brackets hold {level} intervals. A finding is claimed in words if its p value, corrected for the "
            "number of tests in this list (Holm), says so.",
            "",
            *(f"- {_cell(line)}" for line in (*self.finding_lines(), *self.lines)),
        ]
        for table in self.tables:
            columns = table.columns
            parts += ["", f"## {_cell(table.title)}", "", *([_cell(table.note), ""] if table.note else [])]
            parts += [_row(columns), _row(["---", *["--:"] * (len(columns) - 1)])]
            parts += [_row([table.cell(row, column) for column in columns]) for row in table.rows]
        return "\n".join(parts) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Return a text without what Markdown would take for markup."""
    from mmdpo.console import printable

    line = " ".join(printable(text).split())
    return "".join(f"\\{letter}" if letter in "|*_`<>\\" else letter for letter in line)


def _text(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return _formatted(value, COUNT if isinstance(value, int) else form)
    ends = [_formatted(end, form).removesuffix(" %") for end in (value.low, value.high)]
    interval = "" if math.isnan(value.low) else f" [{', '.join(ends)}]"
    return f"{_formatted(value.value, form)}{interval}"


def _formatted(value: float, form: str) -> str:
    text = format(value, form)
    return text.replace("%", " %") if form.endswith("%") else text


def _plain(column: str, value: Any) -> dict[str, Any]:
    if value is None or isinstance(value, str | int | float):
        return {column: _number(value) if isinstance(value, float) else value}
    one: Estimate = value
    return {column: _number(one.value), f"{column}_low": _number(one.low), f"{column}_high": _number(one.high)}


def _number(value: float) -> float | None:
    """Return a number with the digits that matter; None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(f"{value:.6g}")
