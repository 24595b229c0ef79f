"""Answers to learn in the form of chats: `{messages: [{role, content}, ...]}`, the last turn being the answer.

The optional columns are `images`, `system` and `id`; `<image>` or a part of type image marks the place of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import answer_text
from mmdpo.sources.row_images import OTHER_MEDIA, check_media, column_images
from mmdpo.sources.rows import json_type, optional_id
from mmdpo.sources.turns import Dialogue, make_dialogue, read_messages

MESSAGES = "messages"
ALLOWED = "turns {role, content}, the last the assistant's"


@dataclass(frozen=True)
class ExampleRow:
    """A row whose texts are valid; its images are not checked yet.

    Attributes:
        id: The row's id; None if the row has none.
        dialogue: The conversation up to the question.
        answer: The answer to learn.
    """

    id: str | None
    dialogue: Dialogue
    answer: str


def _example(row: dict[str, Any]) -> ExampleRow:
    check_media(row)
    value = row.get(MESSAGES)
    if not isinstance(value, list):
        reason = "missing" if value is None else "wrong type"
        raise BadRow(f"field {MESSAGES!r}: {reason}", f"it is {json_type(value)}; allowed: {ALLOWED}")
    turns = read_messages(value, MESSAGES, ALLOWED)
    answer = answer_text(turns[-1:], MESSAGES)
    dialogue = make_dialogue(turns[:-1], MESSAGES, column_images(row), row.get("system"))
    return ExampleRow(optional_id(row.get("id")), dialogue, answer)


EXAMPLES = Format(frozenset({"id", MESSAGES, "image", "images", "system", *OTHER_MEDIA}), by_row(_example))
