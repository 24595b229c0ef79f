"""The items of a point's tasks: questions, answers and judgments, in today's form and in that of earlier versions.

Today `answers/<task>.jsonl` holds answers and `judgments/<task>.jsonl` their scores, of which an answer may have
several, one per judged part. In earlier versions a line of `answers/<task>.jsonl` held both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdpo.analysis.study import read_lines

Items = dict[str, dict[str, Any]]
"""The items of one task by their ids: `question`, `answer`, `category`, `score`, `parts`, `words`, `cluster`."""


def read_items(folder: Path) -> dict[str, Items]:
    """Read the items of a point by the name of their file; an item without a judgment has no `score`.

    Where parts of an answer are judged, each part is an item, named behind a slash.
    """
    return {name: read_task_items(folder, name) for name in answered_tasks(folder)}


def answered_tasks(folder: Path) -> list[str]:
    """Return the names of the files of a point's answers: a task, with its second phrasing behind a dot."""
    return [path.stem for path in sorted((folder / "answers").glob("*.jsonl"))]


def read_task_items(folder: Path, name: str) -> Items:
    """Read the items of one file of a point's answers; see `read_items`."""
    file = f"{name}.jsonl"
    return _joined(_by_id(folder / "answers" / file), _by_id(folder / "judgments" / file))


def _joined(answers: Items, judgments: Items) -> Items:
    joined, judged = {}, set()
    for key, judgment in judgments.items():
        answered = key if key in answers else key.rpartition("/")[0]
        if answered in answers:  # a row that was imported may lack some
            joined[key] = answers[answered] | judgment
            judged.add(answered)
    return joined | {key: answer for key, answer in answers.items() if key not in judged}


def _by_id(path: Path) -> Items:
    rows = [row for row in read_lines(path) if "id" in row]
    return {str(row["id"]): row if isinstance(row.get("parts"), dict) else {**row, "parts": {}} for row in rows}
