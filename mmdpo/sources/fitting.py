"""Advice for a file in another format than the one chosen: the format that fits, or the names of its columns."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.choices import EXAMPLE_FORMATS, LABELLED_FORMATS, PAIR_FORMATS, PROMPT_FORMATS
from mmdpo.registry import Kind
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.columns import NO_FIELDS, rename_row
from mmdpo.sources.pairs import parse
from mmdpo.sources.rows import fields as decoded
from mmdpo.sources.tables import Table

SAMPLED = 50
"""Rows at the start of a file by which its format is guessed."""

MISSING = re.compile(r"field '(\w+)': missing")


def misfit_advice(path: Path, format: str, fields: Mapping[str, str]) -> str:
    """Describe what to type for a file of which no row can be used.

    Args:
        path: The file or folder.
        format: The chosen format.
        fields: The setting `data.fields`.

    Returns:
        The keys of the rows and what to type; empty if the rows fit the format, and are wrong in another way.
    """
    rows = sample_rows(path, "data.path")
    if not rows:
        return ""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    kinds = (EXAMPLE_FORMATS, LABELLED_FORMATS, PAIR_FORMATS)
    kind = next((kind for kind in kinds if format in kind.names()), PAIR_FORMATS)
    if _fits(kind, format, rows, fields):
        return ""
    seen = f"they have the keys {', '.join(keys)}"
    if found := fitting_formats(rows):
        return f"{seen}, and fit another format: type {' or '.join(found)}"
    missing = _missing(kind, format, rows[0], fields)
    if not missing:
        return ""
    typed = " ".join(f"data.fields.{name}={_similar(name, keys)}" for name in missing)
    return f"{seen}, and data.format={format} reads others: type {typed} to name the keys that hold them"


def source_advice(path: Path, key: str, format: str) -> str:
    """Describe what to type for a file of prompts of which no row can be used.

    Args:
        path: The file or folder.
        key: The source's setting, such as `data.sources.prompts`.
        format: The chosen format.

    Returns:
        The keys of the rows and what to type; empty if no format fits, or the rows are wrong in another way.
    """
    rows = sample_rows(path, f"{key}.path")
    if not rows or _fits(PROMPT_FORMATS, format, rows):
        return ""
    typed = [f"{key}.format={name}" for name in _best(PROMPT_FORMATS, rows)]
    typed = typed or [f"data=pairs data.path=FILE {override}" for override in fitting_formats(rows)]
    keys = dict.fromkeys(name for row in rows for name in row)
    return f"they have the keys {', '.join(keys)}, and fit another format: type {' or '.join(typed)}" if typed else ""


def sample_rows(path: Path, key: str) -> list[dict[str, Any]]:
    """Read the first rows of a file that are objects; `key` is the setting that errors name."""
    rows = []
    for _, raw in itertools.islice(Table(path, key).rows(), SAMPLED):
        try:
            rows.append(decoded(raw))
        except BadRow:
            continue
    return rows


def fitting_formats(rows: Sequence[dict[str, Any]]) -> list[str]:
    """List the overrides that choose a format by which at least half of the rows can be read, the best first.

    Formats of pairs come before formats of answers, and these before formats of prompts.
    """
    if best := _best(PAIR_FORMATS, rows):
        return [f"data.format={name}" for name in best]
    compared = any(name in row for row in rows for name in ("chosen", "rejected"))  # answers would be dropped
    if not compared and (best := _best(EXAMPLE_FORMATS, rows)):
        return [f"data.format={name} method=sft" for name in best]
    source = "data=prompts data.sources.prompts"
    return [f"{source}.path=FILE data.sources.prompts.format={name}" for name in _best(PROMPT_FORMATS, rows)]


def _best(kind: Kind, rows: Sequence[dict[str, Any]]) -> list[str]:
    """List the formats that fit and read most of the keys."""
    found = [name for name in kind.names() if _fits(kind, name, rows)]
    read = {name: sum(key in kind.load(name).columns for row in rows for key in row) for name in found}
    return [name for name in found if read[name] == max(read.values())]


def _fits(kind: Kind, name: str, rows: Sequence[dict[str, Any]], fields: Mapping[str, str] = NO_FIELDS) -> bool:
    faults = [*_faults(kind, name, rows, fields)]
    return 0 < len(faults) <= 2 * faults.count("")


def _missing(kind: Kind, name: str, row: dict[str, Any], fields: Mapping[str, str]) -> list[str]:
    """List the fields that a row lacks, by giving it one after another."""
    missing: list[str] = []
    while True:
        filled = row | {fields.get(field, field): f"text of {field}" for field in missing}
        reason = next(_faults(kind, name, [filled], fields), "")
        match = MISSING.match(reason)
        if match is None or match[1] in missing or match[1] in row:
            return missing
        missing.append(match[1])


def _faults(
    kind: Kind, name: str, rows: Sequence[dict[str, Any]], fields: Mapping[str, str] = NO_FIELDS
) -> Iterator[str]:
    """Yield the reason why a row cannot be read, or "", for each item that the format makes of the rows."""
    for _, item in kind.load(name).convert(enumerate((rename_row(row, fields) for row in rows), 1), 0):
        try:
            if isinstance(item, BadRow):
                raise item
            if isinstance(item, dict):
                parse(item)
            yield ""
        except BadRow as error:
            yield error.reason


def _similar(name: str, keys: Sequence[str]) -> str:
    """Return the key that a field may have, or COLUMN."""
    holding = [key for key in keys if name in key.lower()]
    return next(iter([*holding, *difflib.get_close_matches(name, keys, n=1)]), "COLUMN")
