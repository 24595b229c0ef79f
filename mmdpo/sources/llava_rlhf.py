"""Pairs of LLaVA-RLHF's human preferences (Sun et al., 2023), on photographs of COCO train2017.

The model's last turn of the conversation gives way to one of two outputs; `preference` says which is better.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdpo.files import fingerprint
from mmdpo.sources.conversations import image_name, plain, spoken, turns, unmarked
from mmdpo.sources.rows import BadRow, identifier
from mmdpo.sources.rows import converted as each

COLUMNS = frozenset({"id", "image", "conversations", "output_1", "output_2", "preference"})
NAME = "conversations"


def converted(rows: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Rows of LLaVA-RLHF's form as plain pairs, a BadRow in place of a wrong one."""
    return each(rows, _plain)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    image = image_name(row)
    texts = unmarked(turns(row.get(NAME), NAME), NAME, image, places=(0,))
    if len(texts) % 2 == 0:
        texts.pop()
    outputs = [spoken(row.get(name), name) for name in ("output_1", "output_2")]
    preference = row.get("preference")
    if isinstance(preference, bool) or preference not in (1, 2):
        raise BadRow("field 'preference': not 1 or 2", f"it is {preference!r}; allowed: 1, 2")
    if preference == 2:
        outputs.reverse()
    # The id is the photograph's, and a photograph has many questions and many pairs.
    own = identifier(row.get("id"))
    id = None if own is None else f"{own}-{fingerprint([image, texts, outputs])}"
    return {"id": id, "image": image, "prompt": plain(texts), "chosen": outputs[0], "rejected": outputs[1]}
