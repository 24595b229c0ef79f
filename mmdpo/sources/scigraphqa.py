"""Prompts of SciGraphQA (Li & Tajbakhsh, 2023): questions about figures of scientific papers.

A row of its parquet files holds several questions about one figure; the prompt is the first.
"""

from __future__ import annotations

from typing import Any

from mmdpo.records import Prompt
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.rows import json_type, require_id, require_text

QUESTIONS = "[[question, answer], ...] with non-empty text"


def _prompt(row: dict[str, Any]) -> Prompt:
    """Read the first question about a figure."""
    questions = row.get("q_a_pairs")
    if questions is None or questions == []:
        raise BadRow("no question", "allowed: 'q_a_pairs' with at least one [question, answer]")
    if not isinstance(questions, list) or not isinstance(questions[0], list) or not questions[0]:
        seen = questions[0] if isinstance(questions, list) else questions
        raise BadRow("field 'q_a_pairs': wrong type", f"it is {json_type(seen)}; allowed: {QUESTIONS}")
    return Prompt(
        id=require_id(row),
        question=require_text(questions[0][0], "q_a_pairs", QUESTIONS),
        images=(require_text(row.get("image_file"), "image_file", "the name of a file under the image root"),),
    )


PROMPTS = Format(frozenset({"id", "image_file", "q_a_pairs"}), by_row(_prompt))
