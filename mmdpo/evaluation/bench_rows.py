"""Rows of benchmark files, checked, with errors that name the file, the row and the override."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, find_file, require_file
from mmdpo.files import Unreadable, read_bytes, read_json

Row = dict[str, Any]


def bench_rows(bench: BenchConfig, file: BenchFile, *names: str, **fields: type) -> list[Row]:
    """Read a benchmark's JSON lines, JSON list or table.

    Args:
        bench: The folder of the files and other paths.
        file: The file.
        *names: The fields that each row must have, of any type; text must not be blank.
        **fields: The fields that each row must have, with their types.

    Raises:
        UserError: The file is missing, damaged or empty, or a row lacks a field.
    """
    return checked_rows(require_file(bench, file), f"bench.files.{file.key}", *names, **fields)


def checked_rows(path: Path, key: str, *names: str, **fields: type) -> list[Row]:
    """Read the rows of a file as `bench_rows` does; `key` is the setting or option that errors name."""
    from mmdpo.sources import rows, tables
    from mmdpo.sources.bad_rows import BadRow

    found = []
    for number, raw in tables.rows(path, key):
        try:
            row = rows.fields(raw)
            for name in names:
                if isinstance(row.get(name), str):
                    rows.require_text(row[name], name)
                rows.require_some(row.get(name), name, f"the fields are {', '.join(names)}")
            for name, kind in fields.items():
                _check(row.get(name), name, kind)
        except BadRow as error:
            raise UserError(f"{key}={path}: row {number}: {error}") from error
        found.append(row)
    if not found:
        raise UserError(f"{key}={path}: no rows; the file is empty or torn")
    return found


def _check(value: Any, name: str, kind: type) -> None:
    """Raise BadRow for a missing field, one of another type and blank text."""
    from mmdpo.sources import rows
    from mmdpo.sources.bad_rows import BadRow

    allowed = {str: "text", int: "a whole number", list: "a list"}.get(kind, "a value")
    if kind is str:
        rows.require_text(value, name, allowed)
    rows.require_some(value, name, allowed)
    if not isinstance(value, kind):
        raise BadRow(f"field {name!r}: wrong type", f"it is {rows.json_type(value)}; allowed: {allowed}")


def read_text(path: Path, key: str) -> str:
    """Read a text in UTF-8 as it stands in a file. Raises UserError naming the file and `key` if that fails."""
    try:
        return read_bytes(path).decode("utf-8")
    except (Unreadable, OSError, ValueError) as error:
        raise UserError(f"{key}={path}: not readable as text ({error})") from error


def prompt_of_file(bench: BenchConfig, file: BenchFile, own: str) -> str:
    """Return the judge's prompt from the user's file as it stands there, or our own without such a file."""
    path = find_file(bench, file)
    return own if path is None else read_text(path, f"bench.files.{file.key}")


def read_object(path: Path, key: str) -> Row:
    """Read a JSON object. Raises UserError naming the file and `key` for anything else."""
    try:
        content = read_json(path)
    except (Unreadable, OSError, ValueError) as error:
        raise UserError(f"{key}={path}: not JSON, or torn ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{key}={path}: it is not an object by id")
    return content


def indexed(rows: Iterable[Row], fields: Sequence[str], place: str) -> dict[Any, Row]:
    """Return the rows by one field, or by a tuple of several.

    Args:
        rows: The rows.
        fields: The names of the fields.
        place: The file, for the error.

    Raises:
        UserError: Two rows have the same values.
    """
    found: dict[Any, Row] = {}
    for row in rows:
        values = tuple(row[name] for name in fields)
        value = values[0] if len(fields) == 1 else values
        if value in found:
            raise UserError(f"{place}: {' and '.join(fields)} {value!r} occurs twice; allowed: once")
        found[value] = row
    return found
