"""Tables as Markdown."""

from __future__ import annotations

import re

from mmdpo.analysis.paper.table import Cell, PaperTable

SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def escape(text: str) -> str:
    """Write text so that Markdown prints it as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown(table: PaperTable, plain: bool = False) -> str:
    """Write a table.

    Args:
        table: The table.
        plain: Whether to leave out title and notes.
    """
    lines = [] if plain else [f"**{escape(table.title)}**", ""]
    lines.append("| " + " | ".join(escape(heading) for heading in table.headings) + " |")
    lines.append("|---" * len(table.headings) + "|")
    for section in table.sections:
        for row in section:
            lines.append("| " + " | ".join([escape(row.name), *map(_cell, row.cells)]) + " |")
    if not plain:
        lines += ["", *(f"- {escape(note)}" for note in table.notes)]
    return "\n".join([*lines, ""])


def _cell(cell: Cell) -> str:
    details = [escape(text) for text in cell.details]
    if cell.verdict:
        details = [*details[:-1], " ".join([*details[-1:], cell.verdict])]
    paper = [f"*paper {escape(cell.paper)}*"] if cell.paper else []
    return "<br>".join([escape(cell.text), *details, *paper])
