"""Columns of a file under other names: the setting `data.fields`, as in `data.fields.chosen=best_answer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from mmdpo.errors import UserError
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, NumberedRows
from mmdpo.sources.row_images import OTHER_MEDIA
from mmdpo.sources.rows import fields as decoded

NO_FIELDS: Mapping[str, str] = MappingProxyType({})


def columns_of(format: Format[Any], fields: Mapping[str, str]) -> frozenset[str]:
    """Return the columns of a file that a format reads. Raises UserError for a field that it does not have."""
    for name in fields:
        if name not in format.columns:
            allowed = ", ".join(sorted(format.columns - set(OTHER_MEDIA)))
            raise UserError(f"data.fields.{name}={fields[name]}: not a field of this format; allowed are {allowed}")
    return frozenset(fields.get(name, name) for name in format.columns)


def renamed(rows: NumberedRows, fields: Mapping[str, str]) -> NumberedRows:
    """Yield rows with the names of the format's fields; `fields` gives the file's column for a field.

    Raises UserError at the end if no row has one of the columns.
    """
    return _renamed(rows, fields) if fields else rows


def rename_row(row: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with the names of the format's fields."""
    taken = {column: row[column] for column in fields.values() if column in row}
    kept = {name: value for name, value in row.items() if name not in taken and name not in fields}
    return kept | {name: taken[column] for name, column in fields.items() if column in taken}


def _renamed(rows: NumberedRows, fields: Mapping[str, str]) -> Iterator[tuple[int, Any]]:
    keys: dict[str, None] = {}
    for number, raw in rows:
        try:
            row = decoded(raw)
        except BadRow as error:
            yield number, error
            continue
        keys |= dict.fromkeys(row)
        yield number, rename_row(row, fields)
    for name, column in fields.items():
        if column not in keys:
            raise UserError(f"data.fields.{name}={column}: no row has this key; allowed are {', '.join(keys)}")
