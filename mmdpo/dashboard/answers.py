"""Answers of a point to one benchmark, those of its base beside them, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdpo.analysis.comparable import are_comparable
from mmdpo.analysis.groups import base_of, groups
from mmdpo.analysis.items import read_task_items
from mmdpo.analysis.page.stored_samples import StoredSamples
from mmdpo.analysis.study import Row, Study

COLUMNS = ("id", "category", "question", "reference", "answer", "score", "judge")
OF_BASE = ("base_answer", "base_score", "base_judge", "difference")


def answer_table(row: Row, base: Row | None, task: str, samples: StoredSamples) -> tuple[list[str], list[list[Any]]]:
    """Return the headings and rows of a point's answers to a benchmark.

    Args:
        row: The point.
        base: The base of the point; None leaves its columns out, as does one whose scores cannot be compared.
        task: The benchmark.
        samples: The samples of the study, which hold the reference answers.

    Returns:
        The headings, and the rows in the order of the answers. An item without a score has None there; the column of
        reference answers is left out if no item has one.
    """
    base = base if base and are_comparable([row, base], task) else None
    items = read_task_items(row.folder, task)
    before = read_task_items(base.folder, task) if base else {}
    known = samples.of(row, task)
    rows = []
    for key, item in items.items():
        cells: list[Any] = [key, str(item.get("category") or ""), _text(item, "question")]
        cells.append(_text(known.get(key) or known.get(key.rpartition("/")[0]) or {}, "reference"))
        cells += _judged(item)
        if base:
            other = before.get(key, {})
            pair = item.get("score"), other.get("score")
            both = all(map(_is_number, pair))
            cells += [*_judged(other), float(item["score"]) - float(other["score"]) if both else None]
        rows.append(cells)
    headings = [*COLUMNS, *(OF_BASE if base else ())]
    place = headings.index("reference")
    if not any(cells[place] for cells in rows):
        headings, rows = _without(headings, place), [_without(cells, place) for cells in rows]
    return headings, rows


def base_row(study: Study, row: Row) -> Row | None:
    """Return the base that a trained point is compared with; None without one, and for other points."""
    group = next((one for one in groups(study) if row.point in [other.point for other in one.rows]), None)
    base = base_of(study, group) if group else None
    return base.rows[0] if base else None


def _without(cells: list[Any], place: int) -> list[Any]:
    return cells[:place] + cells[place + 1 :]


def _judged(item: Mapping[str, Any]) -> list[Any]:
    score: Any = item.get("score")
    return [_text(item, "answer"), float(score) if _is_number(score) else None, _judge_text(item)]


def _judge_text(item: Mapping[str, Any]) -> str:
    """Return the judge's reason; without one its replies as they came."""
    replies = item.get("replies")
    texts = [_text(item, "reason"), *(map(str, replies) if isinstance(replies, list) else ())]
    return next(filter(None, texts), "")


def _text(item: Mapping[str, Any], key: str) -> str:
    return str(item.get(key) or "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
