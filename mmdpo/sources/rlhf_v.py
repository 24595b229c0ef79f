"""Pairs of RLHF-V and RLAIF-V (Yu et al., 2023 and 2024): parquet files that hold their images.

RLHF-V keeps question and answers as JSON in the column `text`, RLAIF-V in columns of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mmdpo.sources.rows import BadRow, kind
from mmdpo.sources.rows import converted as each

TEXTS = ("question", "chosen", "rejected")
IDS = ("idx", "ds_question_id")
COLUMNS = frozenset({"image", "text", *TEXTS, *IDS})


def converted(rows: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Rows of RLHF-V's form as plain pairs, a BadRow in place of a wrong one."""
    return each(rows, _plain)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    texts = row if row.get("text") is None else _texts(row["text"])
    id = next((row[name] for name in IDS if row.get(name) is not None), None)
    return {"id": id, "image": row.get("image")} | {name: texts.get(name) for name in TEXTS}


def _texts(value: Any) -> dict[str, Any]:
    try:
        texts = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise BadRow("field 'text': not JSON", f"{error}; allowed: {', '.join(TEXTS)}") from error
    if not isinstance(texts, dict):
        raise BadRow("field 'text': not an object", f"it is {kind(texts)}; allowed: {', '.join(TEXTS)}")
    return texts
