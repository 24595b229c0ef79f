"""Preference pairs in LLaMA-Factory's sharegpt form: `{conversations, chosen, rejected}` with turns `{from, value}`.

The optional columns are `images` and `system`; `<image>` marks the place of an image in a turn. `messages` with turns
`{role, content}` are read in place of `conversations`.
"""

from __future__ import annotations

from typing import Any

from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.row_images import OTHER_MEDIA


def _pair(row: dict[str, Any]) -> PairRow:
    return parse_pair(row, "messages" if row.get("conversations") is None and "messages" in row else "conversations")


COLUMNS = frozenset({"id", "conversations", "messages", "chosen", "rejected", "image", "images", "system"})
PAIRS = Format(COLUMNS | frozenset(OTHER_MEDIA), by_row(_pair))
