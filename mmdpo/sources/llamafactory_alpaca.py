"""Preference pairs in LLaMA-Factory's alpaca form: `{instruction, input, chosen, rejected}`.

The optional columns are `history` ([[question, answer], ...]), `images` and `system`.
"""

from __future__ import annotations

from typing import Any

from mmdpo.sources.conversations import history_texts, turns_to_messages
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.row_images import OTHER_MEDIA
from mmdpo.sources.rows import require_text

INSTRUCTION = "instruction"


def _pair(row: dict[str, Any]) -> PairRow:
    question = require_text(row.get(INSTRUCTION), INSTRUCTION)
    if row.get("input") not in (None, ""):
        question += "\n" + require_text(row["input"], "input")
    turns = turns_to_messages([*history_texts(row.get("history")), question])
    return parse_pair({**row, INSTRUCTION: turns}, INSTRUCTION)


COLUMNS = frozenset({"id", INSTRUCTION, "input", "history", "chosen", "rejected", "image", "images", "system"})
PAIRS = Format(COLUMNS | frozenset(OTHER_MEDIA), by_row(_pair))
