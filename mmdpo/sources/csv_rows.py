"""Rows of CSV files: the first line names the columns, and an empty cell is a missing value."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mmdpo.errors import UserError
from mmdpo.sources.bad_rows import BadRow

TURNS_OF_PYTHON = re.compile(r"\[?\{'(role|from|content|value)'")


def csv_rows(content: BinaryIO, file: Path, key: str, tabs: bool = False) -> Iterator[tuple[int, Any]]:
    """Yield the rows with their numbers, the first row after the names as 1.

    Args:
        content: The opened file.
        file: Its path, for errors.
        key: The setting that errors name.
        tabs: Whether tabs separate the cells, and not commas.

    Yields:
        Numbers and objects of text. A row of too few or too many cells is a BadRow.

    Raises:
        UserError: The file is not CSV in UTF-8.
    """
    csv.field_size_limit(sys.maxsize)
    text = io.TextIOWrapper(content, "utf-8-sig", newline="")
    try:
        cells = csv.reader(text, delimiter="\t" if tabs else ",", strict=True)
        names = next(cells, [])
        if len(set(names)) < len(names):
            raise UserError(f"{key}={file}: two columns have one name ({', '.join(names)}); allowed: different names")
        for number, row in enumerate(filter(None, cells), 1):
            if len(row) != len(names):
                detail = f"there are {len(row)}; allowed: {len(names)}, as many as columns"
                yield number, BadRow("wrong number of cells", detail)
                continue
            try:
                yield number, {name: _value(name, cell) for name, cell in zip(names, row, strict=True) if cell}
            except BadRow as error:
                yield number, error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{key}={file}: not CSV, or torn ({error}); allowed: CSV in UTF-8") from error
    finally:
        text.detach()


def _value(name: str, cell: str) -> Any:
    """Return a cell's text, or the value of a cell that holds turns or image names as JSON. Raises BadRow."""
    if not cell.startswith(("[", "{")):
        return cell
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError) as error:
        if TURNS_OF_PYTHON.match(cell):  # as pandas writes them
            detail = "they are written as Python writes them; allowed: JSON, or a .jsonl file"
            raise BadRow(f"field {name!r}: turns that are not JSON", detail) from error
        return cell
    items = value if isinstance(value, list) else [value]
    turns = all(isinstance(item, dict) and ("role" in item or "from" in item) for item in items)
    return value if items and (turns or name == "images") else cell
