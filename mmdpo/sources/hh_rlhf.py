"""Preference pairs of Anthropic's HH-RLHF (Bai et al., 2022): two texts of whole conversations, `{chosen, rejected}`.

Turns begin with a blank line and `Human:` or `Assistant:`; the last is the answer.
"""

from __future__ import annotations

import re
from typing import Any

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.rows import require_text

SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}
ALLOWED = "turns that begin with Human: or Assistant: after a blank line"


def _pair(row: dict[str, Any]) -> PairRow:
    turns = {name: _turns(row.get(name), name) for name in ("chosen", "rejected")}
    return parse_pair({**row, **turns}, "prompt")


def _turns(value: Any, name: str) -> list[dict[str, str]]:
    before, *pieces = SPEAKER.split(require_text(value, name, ALLOWED))
    if before.strip() or len(pieces) < 4:
        raise BadRow(f"field {name!r}: wrong turns", f"there are {len(pieces) // 2}; allowed: {ALLOWED}, at least two")
    speakers, texts = pieces[::2], pieces[1::2]
    return [{"role": ROLES[speaker], "content": text.strip()} for speaker, text in zip(speakers, texts, strict=True)]


PAIRS = Format(frozenset({"chosen", "rejected"}), by_row(_pair))
