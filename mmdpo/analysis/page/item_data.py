"""The data files of the item browser: an index of each task, and its texts in pieces that are loaded when needed."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdpo.analysis.items import Items, read_task_items
from mmdpo.analysis.labels import benchmark_label, sign
from mmdpo.analysis.page.scripts import to_printable, to_script, write_if_changed
from mmdpo.analysis.page.stored_samples import Sample, StoredSamples
from mmdpo.analysis.study import Row

DATA = "data"
PIECE = 500
"""Items per data file."""
SNIPPET = 120
"""Characters of a question in the list of items."""


@dataclass
class _Task:
    """The items of a task over all points, collected point by point so that one point's answers are in memory.

    Attributes:
        ids: The position of each item.
        items: What is shown of each item apart from answers.
        groups: The groups of each item by kind.
        scores: The score of each item by point; None for an item without one.
        answers: A number of each answer by point; equal answers to an item have the same one.
        distinct: The different answers to each item so far, as digests.
    """

    ids: dict[str, int] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    groups: list[Mapping[str, Any]] = field(default_factory=list)
    scores: list[list[float | None]] = field(default_factory=list)
    answers: list[list[int | None]] = field(default_factory=list)
    distinct: list[dict[bytes, int]] = field(default_factory=list)


def write_task(name: str, number: int, rows: Sequence[Row], samples: StoredSamples) -> tuple[dict[str, Any], set[str]]:
    """Write the data files of one task.

    Args:
        name: The name of the files of answers.
        number: The number of the task on the page, for unique file names.
        rows: The points of the page.
        samples: The samples of the study, and the folder of the page.

    Returns:
        What the page must know before it loads the data, and the names of the files.
    """
    key = f"{number}-{re.sub(r'[^A-Za-z0-9_-]', '_', name)}"
    task, files = _Task(), set[str]()

    def write(file: str, data: Any) -> None:
        files.add(f"{file}.js")
        write_if_changed(samples.folder / DATA / f"{file}.js", f'receive("{file}",{to_script(data)});\n')

    for place, row in enumerate(rows):
        items = read_task_items(row.folder, name)
        known = samples.of(row, name) if items else {}
        answers = _add_point(task, items, known)
        for start in range(0, len(answers), PIECE):
            write(f"{key}-{start // PIECE}-p{place}", to_printable(answers[start : start + PIECE]))
    for start in range(0, len(task.items), PIECE):
        write(f"{key}-{start // PIECE}", to_printable(task.items[start : start + PIECE]))
    write(f"{key}-index", to_printable(_index(task)))
    base, _, variant = name.partition(".")
    label = benchmark_label(base) + (f", {variant.replace('_', ' ')}" if variant else "")
    about = {"name": name, "key": key, "label": label, "sign": sign(base), "items": len(task.ids), "piece": PIECE}
    images = {image for item in task.items for image in item.get("images", ())}
    left_out = sum(item.get("images_left_out", 0) for item in task.items)
    has_samples = any("turns" in item for item in task.items)
    state = "known" if has_samples else "missing" if base in samples.missing else "unknown"
    return about | {"images": len(images), "images_left_out": left_out, "samples": state}, files


def _add_point(task: _Task, items: Items, samples: Mapping[str, Sample]) -> list[dict[str, Any] | None]:
    """Add a point's scores; return its answers by the position of their items, which new items extend."""
    for item_id, item in items.items():
        sample = _sample_of(item_id, item, samples)
        if item_id not in task.ids:
            task.ids[item_id] = len(task.ids)
            task.items.append({"question": str(item.get("question") or ""), **_shown(sample, item)})
            task.groups.append(_groups(item))
            task.distinct.append({})
        else:
            position = task.ids[item_id]
            if sample and "turns" not in task.items[position]:
                task.items[position] |= _shown(sample, item)
            task.groups[position] = task.groups[position] or _groups(item)
    answers: list[dict[str, Any] | None] = [None] * (len(task.ids) if items else 0)
    scores: list[float | None] = [None] * len(answers)
    equal: list[int | None] = [None] * len(answers)
    for item_id, item in items.items():
        position = task.ids[item_id]
        scores[position] = _number(item.get("score"))
        answers[position] = _answer(item)
        digest = hashlib.sha256(repr((item.get("history") or [], item.get("answer"))).encode()).digest()[:8]
        equal[position] = task.distinct[position].setdefault(digest, len(task.distinct[position]))
    task.scores.append(scores)
    task.answers.append(equal)
    return answers


def _sample_of(item_id: str, item: Mapping[str, Any], samples: Mapping[str, Sample]) -> Sample:
    """Return the sample of an item, which may be a part of one; none whose question is another."""
    sample = samples.get(item_id) or samples.get(item_id.rpartition("/")[0]) or {}
    return sample if sample and item.get("question") in sample["turns"] else {}


def _shown(sample: Sample, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of a sample; a question that the answer has is not repeated."""
    shown = {key: sample[key] for key in ("history", "reference", "images", "images_left_out") if sample.get(key)}
    turns = sample.get("turns")
    return {**shown, "turns": turns if turns and turns != [item.get("question")] else []} if sample else {}


def _groups(item: Mapping[str, Any]) -> Mapping[str, Any]:
    groups = item.get("groups")
    if isinstance(groups, dict) and groups:
        return groups
    return {"category": str(item["category"])} if item.get("category") else {}


def _answer(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer with its judgment; what is empty is left out."""
    history = [[str(turn.get("question")), str(turn.get("answer"))] for turn in _dicts(item.get("history"))]
    replies = item.get("replies")
    parts = item["parts"] if isinstance(item.get("parts"), dict) else {}
    found = {
        "answer": str(item.get("answer") or ""),
        "history": history,
        "finish": str(item.get("finish_reason") or ""),
        "score": _number(item.get("score")),
        "judged": "score" in item,
        "parts": {name: value for name, one in parts.items() if (value := _number(one)) is not None},
        "words": _number(item.get("words")),
        "reason": str(item.get("reason") or ""),
        "replies": [str(reply) for reply in replies] if isinstance(replies, list) else [],
    }
    return {key: value for key, value in found.items() if key == "answer" or not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    """Return whether there is nothing to show; the number 0 is something."""
    return value is None or value is False or (isinstance(value, str | list | dict) and not value)


def _index(task: _Task) -> dict[str, Any]:
    """Return the columns that the list filters and sorts by, one entry per item."""
    kinds = dict.fromkeys(kind for groups in task.groups for kind in groups)
    columns = []
    for kind in kinds:
        names: dict[str, int] = {}
        of = [[names.setdefault(name, len(names)) for name in _names(groups.get(kind))] for groups in task.groups]
        columns.append({"kind": kind, "names": list(names), "of": of})
    return {
        "ids": list(task.ids),
        "text": [_snippet(item) for item in task.items],
        "groups": columns,
        "scores": [_padded(column, len(task.ids)) for column in task.scores],
        "answers": [_padded(column, len(task.ids)) for column in task.answers],
    }


def _padded(column: Sequence[Any], length: int) -> list[Any]:
    """Fill up a point's column for items that only later points have; a point without any item has an empty one."""
    return [*column, *[None] * (length - len(column))] if any(one is not None for one in column) else []


def _snippet(item: Mapping[str, Any]) -> str:
    text = " ".join(item["question"].split())
    return text if len(text) <= SNIPPET else text[: SNIPPET - 1] + "…"


def _names(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [] if value in (None, "") else [str(value)]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None
