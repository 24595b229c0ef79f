"""Prompts of LRV-Instruction (Liu et al., 2023): questions about photographs of Visual Genome."""

from __future__ import annotations

from typing import Any

from mmdpo.files import fingerprint
from mmdpo.records import Prompt
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.rows import json_type, require_text


def _prompt(row: dict[str, Any]) -> Prompt:
    """Read the question of a row `{image_id, question, answer, task}`."""
    value = row.get("image_id")
    reason = "missing" if value is None else "wrong type"
    if value is None or isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadRow(f"field 'image_id': {reason}", f"it is {json_type(value)}; allowed: text or an integer")
    image = require_text(str(value), "image_id")
    question = require_text(row.get("question"), "question")
    category = row.get("task")
    return Prompt(
        id=fingerprint([image, question]),
        question=question,
        images=(f"{image}.jpg",),
        category="" if category is None else require_text(category, "task"),
    )


PROMPTS = Format(frozenset({"image_id", "question", "task"}), by_row(_prompt))
