"""Which scores may stand in one table: those of the same judge, judge prompt, edition, references and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmdpo.analysis.label_lines import COMPARED, MILD, label_counts, label_signature
from mmdpo.analysis.study import Row, Study, study_of
from mmdpo.evaluation.task import in_order


@dataclass(frozen=True)
class ComparablePart:
    """Points of a study whose scores can be compared with each other.

    Attributes:
        heading: The labels by which the part differs from the others, such as `mt_bench: judge gpt-4`; empty if the
            whole study can be compared.
        study: The study with these points only.
    """

    heading: str
    study: Study


def are_comparable(rows: Sequence[Row], key: str) -> bool:
    """Return whether points have the same labels, as far as they are known, for the task of a score."""
    task = key.partition("/")[0]
    return all(len(label_counts(rows, task, kind)) <= 1 for kind in COMPARED if kind not in MILD)


def comparable_parts(study: Study) -> list[ComparablePart]:
    """Divide a study into parts whose scores can be compared; a point without scores stands in the first part."""
    alike: dict[str, list[Row]] = {}
    for row in study.rows:
        alike.setdefault(label_signature(row), []).append(row)
    parts: list[list[list[Row]]] = []
    for rows in sorted(alike.values(), key=lambda rows: not rows[0].scores):  # points without scores fit everywhere
        fitting = (part for part in parts if _fits([one[0] for one in part], rows[0]))
        part = next(fitting, None)
        if part is None:
            parts.append([rows])
        else:
            part.append(rows)
    if len(parts) < 2:
        return [ComparablePart("", study)]
    members = [[row for rows in part for row in rows] for part in parts]
    return [
        ComparablePart(_heading(part, members), study_of(study.folder, [replace(row) for row in part]))
        for part in members
    ]


def _fits(part: Sequence[Row], row: Row) -> bool:
    return all(are_comparable([*part, row], task) for task in row.scores if "/" not in task)


def _heading(part: list[Row], parts: list[list[Row]]) -> str:
    """Write the labels of a part that another part has otherwise."""
    found: dict[str, list[str]] = {}
    for task in in_order(list(dict.fromkeys(key for row in part for key in row.scores if "/" not in key))):
        texts = []
        for kind in COMPARED:
            own = label_counts(part, task, kind)
            others = [label_counts(one, task, kind).keys() for one in parts]
            if kind not in MILD and any(other and other != own.keys() for other in others):
                texts += [f"{kind} {value}" for value in own]
        if texts:
            found.setdefault(", ".join(texts), []).append(task)
    return "; ".join(f"{', '.join(tasks)}: {text}" for text, tasks in found.items())
