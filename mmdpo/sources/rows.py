"""Fields of a raw row: decoding, types, and errors that state what is allowed."""

from __future__ import annotations

import json
import math
from typing import Any

from mmdpo.sources.bad_rows import BadRow

TEXT = "non-empty text"


def fields(row: Any) -> dict[str, Any]:
    """Decode a row: a line of JSON (bytes), or an object that is decoded already. Raises BadRow, also a given one."""
    if isinstance(row, BadRow):
        raise row
    if isinstance(row, bytes):
        try:
            row = json.loads(row.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadRow("not UTF-8", str(error)) from error
        except (ValueError, RecursionError) as error:
            raise BadRow("not JSON", f"{error}; allowed: one object per line") from error
    if not isinstance(row, dict):
        raise BadRow("not an object", f"it is {json_type(row)}; allowed: an object with named fields")
    return row


def require_text(value: Any, name: str, allowed: str = TEXT) -> str:
    """Check that a field holds text that can be used.

    Args:
        value: The field's value.
        name: The field's name, for the error message.
        allowed: Description of the allowed values, for the error message.

    Returns:
        The value, unchanged.

    Raises:
        BadRow: The value is missing, of another type, blank, or not valid Unicode.
    """
    require_some(value, name, allowed)
    if not isinstance(value, str):
        raise BadRow(f"field {name!r}: wrong type", f"it is {json_type(value)}; allowed: {allowed}")
    if not value.strip():
        raise BadRow(f"field {name!r}: empty", f"allowed: {allowed}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON accepts
        raise BadRow(f"field {name!r}: not Unicode", str(error)) from error
    return value


def require_some(value: Any, name: str, allowed: str) -> None:
    """Raise BadRow if a field is missing."""
    if value is None:
        raise BadRow(f"field {name!r}: missing", f"allowed: {allowed}")


def require_id(row: dict[str, Any]) -> str:
    """Return a row's id as text. Raises BadRow if it has none."""
    if (value := optional_id(row.get("id"))) is None:
        raise BadRow("field 'id': missing", "allowed: text or an integer")
    return value


def optional_id(value: Any) -> str | None:
    """Return an id as text, or None if there is none. Raises BadRow if it is of another type."""
    if value is None:
        return None
    value = whole(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadRow("field 'id': wrong type", f"it is {json_type(value)}; allowed: text or an integer")
    return require_text(str(value), "id")


def whole(value: Any) -> Any:
    """Return a whole float as an integer, because pandas and HelpSteer write 3 as 3.0; other values are unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_number(value: Any) -> float | None:
    """Return a number, or a number written as text, such as a rating "5" or a cell of CSV; None for other values."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def json_type(value: Any) -> str:
    """Name the type of a JSON value for an error message."""
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
