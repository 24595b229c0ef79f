"""Preference pairs of LLaVA-RLHF (Sun et al., 2023): human preferences on photographs of COCO train2017.

The model's last turn of the conversation is replaced by one of two outputs; `preference` names the better one.
"""

from __future__ import annotations

from typing import Any

from mmdpo.files import fingerprint
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.conversations import (
    conversation_texts,
    image_to_front,
    split_system,
    turn_text,
    turns_to_messages,
)
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.row_images import column_images
from mmdpo.sources.rows import optional_id

COLUMNS = frozenset({"id", "image", "conversations", "output_1", "output_2", "preference"})
CONVERSATIONS = "conversations"
OUTPUTS = ("output_1", "output_2")


def _pair(row: dict[str, Any]) -> PairRow:
    images = column_images(row)
    system, turns = split_system(row.get(CONVERSATIONS))
    texts = image_to_front(conversation_texts(turns, CONVERSATIONS), images, indices=(0,))
    if len(texts) % 2 == 0:
        texts.pop()
    outputs = {name: turn_text(row.get(name), name) for name in OUTPUTS}
    preference = row.get("preference")
    if isinstance(preference, bool) or preference not in (1, 2):
        raise BadRow("field 'preference': not 1 or 2", f"it is {preference!r}; allowed: 1, 2")
    chosen, rejected = OUTPUTS if preference == 1 else OUTPUTS[::-1]
    # The id names the photograph, which has many questions and many pairs.
    photograph = optional_id(row.get("id"))
    content = [images[0] if len(images) == 1 else images or None, texts, [outputs[chosen], outputs[rejected]]]
    id = None if photograph is None else f"{photograph}-{fingerprint(content)}"
    kept = {"id": id, "images": images, "system": system, CONVERSATIONS: turns_to_messages(texts)}
    return parse_pair(kept | outputs, CONVERSATIONS, chosen, rejected)


PAIRS = Format(COLUMNS, by_row(_pair))
