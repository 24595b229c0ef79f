"""Preference pairs of RLHF-V and RLAIF-V (Yu et al., 2023 and 2024): parquet files that contain their images.

RLHF-V stores question and answers as JSON in the column `text`, RLAIF-V in columns of their own.
"""

from __future__ import annotations

import json
from typing import Any

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.rows import json_type

TEXTS = ("question", "chosen", "rejected")
IDS = ("idx", "ds_question_id")


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    texts = row if row.get("text") is None else _texts(row["text"])
    id = next((row[name] for name in IDS if row.get(name) is not None), None)
    return {"id": id, "image": row.get("image")} | {name: texts.get(name) for name in TEXTS}


def _texts(value: Any) -> dict[str, Any]:
    try:
        texts = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise BadRow("field 'text': not JSON", f"{error}; allowed: {', '.join(TEXTS)}") from error
    if not isinstance(texts, dict):
        raise BadRow("field 'text': not an object", f"it is {json_type(texts)}; allowed: {', '.join(TEXTS)}")
    return texts


PAIRS = Format(frozenset({"image", "text", *TEXTS, *IDS}), by_row(_plain_row))
