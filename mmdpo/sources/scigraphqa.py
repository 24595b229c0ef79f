"""Prompts of SciGraphQA (Li & Tajbakhsh, 2023): questions about the figures of scientific papers.

The rows of its parquet files hold several questions a figure; the prompt is the first.
"""

from __future__ import annotations

from typing import Any

from mmdpo.records import Prompt
from mmdpo.sources.rows import BadRow, fields, kind, named, text

COLUMNS = frozenset({"id", "image_file", "q_a_pairs"})
PAIRS = "[[question, answer], ...] with non-empty text"


def prompt(row: Any) -> Prompt:
    """The first question about a figure; raises BadRow."""
    row = fields(row)
    asked = row.get("q_a_pairs")
    if asked is None or asked == []:
        raise BadRow("no question", "allowed: 'q_a_pairs' with one [question, answer] at least")
    if not isinstance(asked, list) or not isinstance(asked[0], list) or not asked[0]:
        seen = asked[0] if isinstance(asked, list) else asked
        raise BadRow("field 'q_a_pairs': wrong type", f"it is {kind(seen)}; allowed: {PAIRS}")
    return Prompt(
        id=named(row),
        question=text(asked[0][0], "q_a_pairs", PAIRS),
        image=text(row.get("image_file"), "image_file", "the name of a file under the image root"),
    )
