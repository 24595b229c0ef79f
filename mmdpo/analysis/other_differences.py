"""What else differs between two results, apart from their scores: settings, judge, data, model, versions, commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmdpo.analysis.groups import Group
from mmdpo.analysis.labels import value_text
from mmdpo.analysis.study import POINT_AXES, Row
from mmdpo.analysis.varying import varying_settings
from mmdpo.points.identity import Role

LISTED = 8
"""The number of settings in a line."""


def other_differences(a: Group, b: Group) -> list[str]:
    """Return a short line for each kind of difference between the first points of two results.

    Args:
        a: The reference.
        b: The result that is compared with it.
    """
    one, other = a.rows[0], b.rows[0]
    lines = [
        _line("axes", _axes(one, other)),
        _line("settings", _settings(one, other)),
        _line("judge", _changes({"": one.result.get("judge")}, {"": other.result.get("judge")})),
        _line("content", _differing(_mapping(one, "fingerprints"), _mapping(other, "fingerprints"))),
        _line("versions", _changes(_mapping(one, "versions"), _mapping(other, "versions"))),
        _line("git commit", _changes({"": _commit(one)}, {"": _commit(other)})),
    ]
    return [line for line in lines if line]


def _line(kind: str, parts: Sequence[str]) -> str:
    more = f" and {len(parts) - LISTED} more" if len(parts) > LISTED else ""
    return f"{kind}: {', '.join(parts[:LISTED])}{more}" if parts else ""


def _axes(one: Row, other: Row) -> list[str]:
    """Return the axes in which two trained points differ; those of one method only, and the seeds, are left out."""
    if one.role != Role.trained or other.role != Role.trained:
        return []
    keys = [key for key in POINT_AXES if key != "seed"]
    return _changes({key: one.axes.get(key) for key in keys}, {key: other.axes.get(key) for key in keys}, value_text)


def _settings(one: Row, other: Row) -> list[str]:
    """Return the settings that change results and differ; only model and bench for a model that was not trained."""
    if not one.config or not other.config:
        return []
    first, second = varying_settings([one.config, other.config])
    if one.role != Role.trained or other.role != Role.trained:
        first, second = (
            {key: value for key, value in side.items() if key.startswith(("model", "bench"))}
            for side in (first, second)
        )
    return _changes(first, second)


def _changes(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    write: Callable[[str, Any], str] = lambda key, value: str(value),
) -> list[str]:
    """Write the entries that both have and that differ: `lr 5e-5 and 2e-4`."""
    return [
        f"{key} {write(key, first[key])} and {write(key, second[key])}".strip() for key in _differing(first, second)
    ]


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return [key for key, value in first.items() if None not in (value, second.get(key)) and value != second[key]]


def _mapping(row: Row, key: str) -> Mapping[str, Any]:
    value = row.result.get(key)
    return value if isinstance(value, dict) else {}


def _commit(row: Row) -> str | None:
    commit = row.result.get("git")
    return str(commit)[:10] if commit else None
