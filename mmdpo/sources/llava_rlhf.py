"""Preference pairs of LLaVA-RLHF (Sun et al., 2023): human preferences on photographs of COCO train2017.

The model's last turn of the conversation is replaced by one of two outputs; `preference` names the better one.
"""

from __future__ import annotations

from typing import Any

from mmdpo.files import fingerprint
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.conversations import conversation_texts, image_name, remove_markers, turn_text, turns_to_messages
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.rows import optional_id

COLUMNS = frozenset({"id", "image", "conversations", "output_1", "output_2", "preference"})
CONVERSATIONS = "conversations"


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    image = image_name(row)
    texts = conversation_texts(row.get(CONVERSATIONS), CONVERSATIONS)
    texts = remove_markers(texts, CONVERSATIONS, image, indices=(0,))
    if len(texts) % 2 == 0:
        texts.pop()
    outputs = [turn_text(row.get(name), name) for name in ("output_1", "output_2")]
    preference = row.get("preference")
    if isinstance(preference, bool) or preference not in (1, 2):
        raise BadRow("field 'preference': not 1 or 2", f"it is {preference!r}; allowed: 1, 2")
    if preference == 2:
        outputs.reverse()
    # The id names the photograph, which has many questions and many pairs.
    photograph = optional_id(row.get("id"))
    id = None if photograph is None else f"{photograph}-{fingerprint([image, texts, outputs])}"
    return {"id": id, "image": image, "prompt": turns_to_messages(texts), "chosen": outputs[0], "rejected": outputs[1]}


PAIRS = Format(COLUMNS, by_row(_plain_row))
