"""Preference pairs in LLaMA-Factory's sharegpt form: `{conversations, chosen, rejected}` with turns `{from, value}`.

The optional columns are `images` and `system`; `<image>` marks the place of an image in a turn.
"""

from __future__ import annotations

from typing import Any

from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.row_images import OTHER_MEDIA


def _pair(row: dict[str, Any]) -> PairRow:
    return parse_pair(row, "conversations")


COLUMNS = frozenset({"id", "conversations", "chosen", "rejected", "image", "images", "system", *OTHER_MEDIA})
PAIRS = Format(COLUMNS, by_row(_pair))
