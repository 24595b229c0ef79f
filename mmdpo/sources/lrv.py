"""Prompts of LRV-Instruction (Liu et al., 2023): questions about photographs of Visual Genome."""

from __future__ import annotations

from typing import Any

from mmdpo.files import fingerprint
from mmdpo.records import Prompt
from mmdpo.sources.rows import TEXT, BadRow, fields, kind, text

COLUMNS = frozenset({"image_id", "question", "task"})


def prompt(row: Any) -> Prompt:
    """The question of a row `{image_id, question, answer, task}`; raises BadRow."""
    row = fields(row)
    value = row.get("image_id")
    reason = "missing" if value is None else "wrong type"
    if value is None or isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadRow(f"field 'image_id': {reason}", f"it is {kind(value)}; allowed: text or an integer")
    image = text(str(value), "image_id", TEXT)
    question = text(row.get("question"), "question", TEXT)
    category = row.get("task")
    return Prompt(
        id=fingerprint([image, question]),
        question=question,
        image=f"{image}.jpg",
        category="" if category is None else text(category, "task", TEXT),
    )
