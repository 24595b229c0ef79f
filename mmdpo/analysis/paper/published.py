"""Numbers that the paper prints, and which row of a study corresponds to which of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mmdpo.analysis.groups import Group
from mmdpo.analysis.label_lines import judge_names, label_of_row
from mmdpo.analysis.labels import assignment, benchmark_label, imported_label
from mmdpo.points.identity import Role

FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class PublishedRow:
    """A row of the paper's tables.

    Attributes:
        name: The name in the paper.
        source: The table, figure or poster that it stands in.
        scores: Its scores by task, as they are printed.
        model: The preset of its model; empty for a model that is only imported.
        role: The role of a point of this model that corresponds to it.
        axes: The axes of such a point.
        recipe: The axes that the paper trained with; a point that differs in them is compared all the same.
        names: Names of imported rows that correspond to it.
    """

    name: str
    source: str
    scores: Mapping[str, float]
    model: str = ""
    role: str = ""
    axes: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ()


@cache
def read_published() -> dict[str, Any]:
    """Return the content of published.yaml."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def published_rows() -> list[PublishedRow]:
    """Return the rows of the paper's tables."""
    return [PublishedRow(**row) for row in read_published()["rows"]]


def corresponding(group: Group) -> PublishedRow | None:
    """Return the paper's row that a result, reference model or imported row corresponds to."""
    row = group.rows[0]
    if group.role == Role.imported:
        name = _plain(imported_label(row).partition(" · ")[0])
        return next((one for one in published_rows() if name in map(_plain, one.names)), None)
    model = row.group("model").get("name")
    for one in published_rows():
        axes = {axis: row.axes.get(axis) for axis in one.axes} if group.role == Role.trained else {}
        if one.model and one.model == model and one.role == group.role and _equal(axes, one.axes):
            return one
    return None


def published_score(row: PublishedRow | None, task: str) -> float | None:
    """Return a number of the paper on the scale of this program's score; None if the paper has none."""
    if row is None or task not in row.scores:
        return None
    return row.scores[task] / read_published()["printed_as"].get(task, 1)


def reasons(groups: Sequence[Group], tasks: Sequence[str]) -> list[str]:
    """Return the known reasons why the scores of rows differ from those of the paper, a line each.

    Args:
        groups: The rows of a table; those that correspond to no row of the paper are left out.
        tasks: The tasks of the table.
    """
    pairs = [(group, row) for group in groups if (row := corresponding(group)) is not None]
    lines = []
    for task in tasks:
        shown = [group for group, row in pairs if task in row.scores and group.score(task) is not None]
        if shown:
            judges = sorted({*judge_names([label_of_row(one, task) for group in shown for one in group.rows])} - {""})
            judged = f" Judge here: {', '.join(judges)}." if judges else ""
            lines.append(f"{benchmark_label(task)}: {read_published()['reasons'].get(task, '')}{judged}")
    for group, row in pairs:
        others = {axis: group.value(axis) for axis, value in row.recipe.items() if group.value(axis) != value}
        if others:
            texts = ", ".join(
                f"{assignment(axis, value)} (paper: {_value(row, axis)})" for axis, value in others.items()
            )
            lines.append(f"{group.label}: not trained as in the paper: {texts}.")
    sources = [f"{row.name}: {row.source}" for _, row in pairs if not row.source.startswith("Table")]
    if pairs:
        lines.append("Numbers of the paper have no interval: each is one run." + "".join(f" {s}." for s in sources))
    return lines


def _value(row: PublishedRow, axis: str) -> str:
    from mmdpo.analysis.labels import value_text

    return value_text(axis, row.recipe[axis])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _equal(axes: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether a trained point has the axes of a row; for models that were not trained both are empty."""
    return all(axes.get(key) == value for key, value in others.items()) if axes else not others
