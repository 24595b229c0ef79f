"""Preference pairs of OpenAI's fine-tuning: `{input: {messages}, preferred_output, non_preferred_output}`."""

from __future__ import annotations

from typing import Any

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.row_images import check_media
from mmdpo.sources.rows import json_type

COLUMNS = frozenset({"input", "preferred_output", "non_preferred_output"})


def _pair(row: dict[str, Any]) -> PairRow:
    given = row.get("input")
    if not isinstance(given, dict):
        reason = "missing" if given is None else "wrong type"
        raise BadRow(f"field 'input': {reason}", f"it is {json_type(given)}; allowed: an object with `messages`")
    check_media(given)
    return parse_pair({**row, "input": given.get("messages")}, "input", "preferred_output", "non_preferred_output")


PAIRS = Format(COLUMNS, by_row(_pair))
