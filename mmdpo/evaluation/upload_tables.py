"""Excel files in the formats of servers that score uploads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdpo.files import atomic_write


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as an Excel file.

    Args:
        path: The file.
        columns: The names of the columns, in their order.
        rows: The rows by name of the column; empty cells are left out. Text that begins with "=" stays text, and
            characters that Excel files cannot hold are left out.

    Returns:
        The file.
    """
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(list(columns))
    for row in rows:
        cells = []
        for name in columns:
            value = row.get(name)
            cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value)
            if isinstance(value, str) and value:
                cell.data_type = "s"
            cells.append(cell)
        sheet.append(cells)
    with atomic_write(path) as aside:
        book.save(aside)
    return path
