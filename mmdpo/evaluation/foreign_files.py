"""Files of other programs' answers and judgments: rows of JSON, JSON lines, CSV, TSV and Excel files.

The programs are FastChat, LLaVA, MM-Vet, alpaca_eval and VLMEvalKit. Excel files are VLMEvalKit's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmdpo.errors import UserError
from mmdpo.files import HALF_PAIR, Unreadable, open_regular, read_bytes

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".xlsx")

ID_COLUMNS = ("question_id", "index", "id", "instruction")
"""Columns that identify a question, the most specific first."""
MODEL_COLUMNS = ("model_id", "generator", "model")
"""Columns that name the model whose answer stands in a row."""
QUESTION_COLUMNS = ("question", "prompt", "instruction")
"""Columns with the text of the question."""
ANSWER_COLUMNS = ("prediction", "text", "output", "answer", "model_answer")
"""Columns with a model's answer. VLMEvalKit's `answer` is the right one, and its `prediction` the model's."""

FAILURES = ("$ERROR$", "Failed to obtain answer via API")
"""Beginnings of texts that stand where a program got no answer."""


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file; the suffix and the content say how.

    A JSON object `{id: value}` gives a row per id, with the columns `id` and, unless the values are objects
    themselves, `text`. Empty cells are left out.

    Raises:
        UserError: The file is missing, damaged, empty, or of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: suffix {path.suffix!r}; allowed: {', '.join(SUFFIXES)}")
    try:
        if suffix == ".xlsx":
            rows = _excel_rows(path)
        elif suffix in (".csv", ".tsv"):
            rows = _csv_rows(path)
        else:
            rows = _json_rows(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); name another file") from error
    if not rows:
        raise UserError(f"{path}: holds no rows; name a complete file")
    return rows


def first_of(row: Row, columns: Sequence[str]) -> Any:
    """Return the value of the first of these columns that has one; None if none has."""
    return next((value for name in columns if not _is_empty(value := row.get(name))), None)


def id_text(value: Any) -> str:
    """Write an id as text: 7, 7.0 and "7" are the same id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if _is_empty(value) else str(value).strip()


def text_of(value: Any) -> str:
    """Write the value of a cell as text; programs store answers such as 1 or true without quotes."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if _is_empty(value) else str(value)


def is_failure(value: Any) -> bool:
    """Return whether a program stored a failure in place of an answer."""
    return isinstance(value, str) and value.strip().startswith(FAILURES)


def answer_text(row: Row, columns: Sequence[str] = ANSWER_COLUMNS) -> str | None:
    """Return a row's answer; None where there is none, or a failure in place of it."""
    value = first_of(row, columns)
    return None if value is None or is_failure(value) else text_of(value)


def rows_by_id(
    rows: Sequence[Row], columns: Sequence[str] = ID_COLUMNS, answers: Sequence[str] = ANSWER_COLUMNS
) -> dict[str, Row]:
    """Return one row per id: the last one with an answer, as a second run repeats rows that failed before.

    Args:
        rows: The rows of a file; those without an id are left out.
        columns: The columns to take the id from.
        answers: The columns that an answer stands in; a row without one never replaces a row that has one.
    """
    found: dict[str, Row] = {}
    for row in rows:
        key = id_text(first_of(row, columns))
        if key and (key not in found or answer_text(row, answers) is not None):
            found[key] = row
    return found


def model_names(rows: Sequence[Row]) -> list[str]:
    """Return the names of the models whose answers a file holds, in their order; empty if it names none."""
    names = (first_of(row, MODEL_COLUMNS) for row in rows)
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _json_rows(path: Path) -> list[Row]:
    """Read JSON or JSON lines; both suffixes are used for both."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except (UnicodeDecodeError, Unreadable) as error:
        raise UserError(f"{path}: cannot be read ({error}); allowed: JSON in UTF-8") from error
    if not text.strip():
        return []
    try:
        data = _parse(text)
    except ValueError as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].rstrip().endswith("}"):
            raise UserError(f"{path}: not JSON, or torn ({error}); name a complete file") from error
        return [_line(path, number, line) for number, line in lines]
    if isinstance(data, dict):
        if path.suffix.lower() == ".jsonl":
            return [data]
        return [
            {"id": key, **value} if isinstance(value, dict) else _text_row(key, value) for key, value in data.items()
        ]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise UserError(f"{path}: holds no objects; allowed: a list of objects, one object per line, or {{id: answer}}")
    return data


def _text_row(key: str, value: Any) -> Row:
    return {"id": key} if _is_empty(value) else {"id": key, "text": value}


def _line(path: Path, number: int, line: str) -> Row:
    try:
        row = _parse(line)
    except ValueError as error:
        raise UserError(f"{path} line {number}: not JSON, or torn ({error}); name a complete file") from error
    if not isinstance(row, dict):
        raise UserError(f"{path} line {number}: no object; allowed: one object per line")
    return row


def _parse(text: str) -> Any:
    """Parse JSON. Raises ValueError, also for text that is nested too deeply or holds half a character."""
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if HALF_PAIR.search(text):
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    return data


def _csv_rows(path: Path) -> list[Row]:
    from mmdpo.sources.bad_rows import BadRow
    from mmdpo.sources.csv_rows import csv_rows

    rows = []
    try:
        with open_regular(path) as content:
            for number, row in csv_rows(content, path, "file", tabs=path.suffix.lower() == ".tsv"):
                if isinstance(row, BadRow):
                    raise UserError(f"{path} row {number}: {row}; name a complete file")
                rows.append(row)
    except Unreadable as error:
        raise UserError(f"{path}: {error}; name a file") from error
    return rows


def _excel_rows(path: Path) -> list[Row]:
    """Read the first sheet. Text that begins with "=" is no formula here: programs write answers that do."""
    from zipfile import BadZipFile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with open_regular(path) as content:
            sheets = load_workbook(content, read_only=True).worksheets
            cells = sheets[0].iter_rows(values_only=True) if sheets else iter(())
            return [*_named(cells)]
    except (BadZipFile, InvalidFileException, KeyError, ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"{path}: not an Excel file, or torn ({error}); allowed: a complete .xlsx") from error


def _named(cells: Iterator[tuple[Any, ...]]) -> Iterator[Row]:
    """Yield the rows below the first one, which names the columns."""
    names = [str(name) if name is not None else "" for name in next(cells, ())]
    for values in cells:
        row = {name: _cell(value) for name, value in zip(names, values, strict=False) if name and not _is_empty(value)}
        if row:
            yield row


def _cell(value: Any) -> Any:
    """Return the text of an array formula; other values as they are."""
    return getattr(value, "text", value) if not isinstance(value, str) else value
