"""Notes on a study's imported rows: where they come from, what could be verified, and how two judges differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.items import Items, read_items
from mmdpo.analysis.labels import imported_label
from mmdpo.analysis.measured import estimate_gain, measure_items
from mmdpo.analysis.study import Row, Study
from mmdpo.evaluation.task import Task, find_task
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate


@dataclass(frozen=True)
class Offset:
    """The score of a task by a new judge minus that by an old one, over the same answers.

    Attributes:
        name: The name of the row with the old judge.
        task: The task.
        new: The new judge.
        old: The old judge.
        score: The difference over the items that both have scored.
    """

    name: str
    task: str
    new: str
    old: str
    score: Estimate


def imported_notes(study: Study) -> list[str]:
    """Return a line for each task of each imported row, and for each difference of two judges."""
    lines = []
    for row in study.of_role(Role.imported):
        if row.group("imported").get("of"):
            continue
        labels = dict(_labels(row))
        lines += [f"{imported_label(row)}: {_source(task, label)}" for task, label in labels.items()]
        if waiting := [str(task) for task in row.group("bench").get("tasks") or () if task not in labels]:
            lines.append(
                f"{imported_label(row)}: the answers to {', '.join(waiting)} are not judged; type python launch.py "
                f"stage=judge study={study.name} bench={waiting[0]} bench.judge=NAME"
            )
    return [*lines, *map(_offset_text, judge_offsets(study))]


def imported_warnings(study: Study) -> list[str]:
    """Return a line for each task of an imported row whose judgments are not those of its answers."""
    return [
        f"warning  {imported_label(row)}: {task} {label['verification']}; the judgments may belong to other answers"
        for row in study.of_role(Role.imported)
        for task, label in _labels(row)
        if label.get("verified") is False
    ]


def judge_offsets(study: Study) -> list[Offset]:
    """Compare the judges of answers that stand in the study twice, paired over items, with intervals."""
    found = []
    for first, row in rejudged(study):
        old, new, labels = read_items(first.folder), read_items(row.folder), dict(_labels(first))
        for name, label in _labels(row):
            task = find_task(name)
            if task is None or name not in labels:
                continue
            score = _difference(task, old.get(name, {}), new.get(name, {}), study.confidence)
            if score is not None:
                found.append(Offset(imported_label(first), name, label["judge"], labels[name]["judge"], score))
    return found


def rejudged(study: Study) -> list[tuple[Row, Row]]:
    """Return the imported rows whose answers were judged again, each with the row of the new judgments."""
    rows = {row.point: row for row in study.of_role(Role.imported) if row.scores}
    pairs = [(rows.get(str(row.group("imported").get("of"))), row) for row in rows.values()]
    return [(first, row) for first, row in pairs if first is not None]


def _difference(task: Task, old: Items, new: Items, confidence: float) -> Estimate | None:
    """Estimate the main metric of new items minus that of old ones, over equal answers that both have scored."""
    kept = [key for key, item in new.items() if key in old and old[key].get("answer") == item.get("answer")]
    first, second = (measure_items({key: items[key] for key in kept}, task.main) for items in (old, new))
    return estimate_gain([first], [second], confidence) if first and second else None


def _labels(row: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the result of a row says of each task."""
    labels = row.result.get("labels")
    for task, label in (labels if isinstance(labels, dict) else {}).items():
        if isinstance(label, dict):
            yield task, {"judge": "unknown judge", **label}


def _source(task: str, label: dict[str, Any]) -> str:
    answers, counts = _mapping(label, "answers"), _mapping(label, "counts")
    parts = [f"{task} imported from {Path(str(answers.get('file', 'an unknown file'))).name}"]
    if label["judge"]:
        parts.append(f"judge {label['judge']}")
    if verification := label.get("verification"):
        parts.append(f"judgments verified: {verification}" if label.get("verified") else str(verification))
    if counts.get("answered") != counts.get("questions"):
        parts.append(f"{counts.get('answered')} of {counts.get('questions')} questions are answered")
    return ", ".join(parts)


def _mapping(label: dict[str, Any], key: str) -> dict[str, Any]:
    value = label.get(key)
    return value if isinstance(value, dict) else {}


def _offset_text(offset: Offset) -> str:
    score = offset.score
    interval = "" if score.low != score.low else f" [{score.low:+.2f}, {score.high:+.2f}]"
    return (
        f"{offset.name}: {offset.task} by {offset.new} minus by {offset.old}: {score.value:+.2f}{interval} "
        f"(n = {score.n}, paired over items)"
    )
