"""The items of a point's tasks: questions, answers and judgments, in today's form and in that of earlier versions.

Today `answers/<task>.jsonl` holds answers and `judgments/<task>.jsonl` their scores. In earlier
versions a line of `answers/<task>.jsonl` held both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdpo.analysis.study import read_lines

Items = dict[str, dict[str, Any]]
"""The items of one task by their ids: `question`, `answer`, `category`, `score`, `parts`, `words`, `cluster`."""


def read_items(folder: Path) -> dict[str, Items]:
    """Read the items of a point by the name of their file; an item without a judgment has no `score`."""
    found = {}
    for path in sorted((folder / "answers").glob("*.jsonl")):
        judgments = _by_id(folder / "judgments" / path.name)
        found[path.stem] = {key: answer | judgments.get(key, {}) for key, answer in _by_id(path).items()}
    return found


def _by_id(path: Path) -> Items:
    rows = [row for row in read_lines(path) if "id" in row]
    return {str(row["id"]): row if isinstance(row.get("parts"), dict) else {**row, "parts": {}} for row in rows}
