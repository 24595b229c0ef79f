"""LLaVA's conversations: turns {from: human|gpt, value}, with a marker at the position of the image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from mmdpo.errors import UserError
from mmdpo.records import Conversation
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.markers import MARKER, join_markers, split_markers
from mmdpo.sources.row_images import Image, column_images
from mmdpo.sources.rows import json_type, require_text

SPEAKERS = ("human", "gpt")
ALLOWED = "turns {from: human|gpt, value}, human and gpt in turn"


def conversation_texts(value: Any, name: str) -> list[str]:
    """Return the texts of a conversation, starting with the human's; they may be empty.

    Turns of the model before the human's first turn are left out, as in LLaVA's training. Raises BadRow; `name` is
    the field in its message.
    """
    if not isinstance(value, list):
        reason = "missing" if value is None else "wrong type"
        raise BadRow(f"field {name!r}: {reason}", f"it is {json_type(value)}; allowed: {ALLOWED}")
    turns = [_turn(turn, name) for turn in value]
    while turns and turns[0][0] == "gpt":
        turns.pop(0)
    if not turns or any(speaker != SPEAKERS[index % 2] for index, (speaker, _) in enumerate(turns)):
        seen = ", ".join(speaker for speaker, _ in turns) or "none of the human's"
        raise BadRow(f"field {name!r}: wrong turns", f"turns are {seen}; allowed: {ALLOWED}")
    return [text for _, text in turns]


def turn_text(turn: Any, name: str) -> str:
    """Return the text of a single turn: an object `{from, value}` or plain text. Raises BadRow."""
    if isinstance(turn, str) or turn is None:
        return require_text(turn, name)
    if not isinstance(turn, dict):
        raise BadRow(f"field {name!r}: wrong type", f"it is {json_type(turn)}; allowed: {{from, value}}")
    return require_text(turn.get("value"), name)


def image_to_front(texts: list[str], images: Collection[Image], indices: Collection[int]) -> list[str]:
    """Remove the marker of a single image, which LLaVA's training moves to the front.

    Args:
        texts: Texts of the turns.
        images: The row's images.
        indices: Turns in which the marker of a single image may stand.

    Returns:
        The texts without marker. Markers of several images, or in other turns, stay where they are.
    """
    marked = [index for index, text in enumerate(texts) for _ in range(text.count(MARKER))]
    if len(images) != 1 or len(marked) != 1 or marked[0] not in indices:
        return texts
    return [split_markers(text)[0] for text in texts]


def marked_texts(record: Conversation) -> list[str]:
    """Return the texts of a record's conversation with a marker for each image, as LLaVA's formats have them."""
    texts = [text for turn in record.history for text in (turn.question, turn.answer)] + [record.question]
    return join_markers(texts, len(record.images), record.image_positions)


def image_column(images: Sequence[str]) -> dict[str, Any]:
    """Return the column `image` of a row: a name, a list of several names, or none."""
    return {"image": images[0] if len(images) == 1 else list(images)} if images else {}


def check_writable(record: Conversation, answers: Iterable[str]) -> None:
    """Raise UserError if a text contains the marker itself, because a reader would expect an image there."""
    earlier = [text for turn in record.history for text in (turn.question, turn.answer)]
    if any(MARKER in text for text in (*earlier, record.system, record.question, *answers)):
        raise UserError(
            f"{record.id!r}: its text contains {MARKER}, which marks images in this format; allowed: other text"
        )


def image_names(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of a row's images. Raises BadRow if the row itself holds one."""
    images = column_images(row)
    names = tuple(image for image in images if isinstance(image, str))
    if len(names) < len(images):
        raise BadRow("field 'image': wrong type", "it is bytes; allowed: the name of a file under the image root")
    return names


def split_system(value: Any) -> tuple[str | None, Any]:
    """Split off the text of the system turn that a conversation may begin with."""
    first = value[0] if isinstance(value, list) and value else None
    if not isinstance(first, dict) or first.get("from") != "system":
        return None, value
    return first.get("value"), value[1:]


def turns_to_messages(texts: list[str]) -> list[dict[str, str]]:
    """Convert turns to `{role, content}` messages, the user's first, as `pairs.parse_pair` reads them."""
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]


def history_texts(value: Any) -> list[str]:
    """Return the texts of earlier turns `[[question, answer], ...]`, the user's first. Raises BadRow."""
    for turn in value or []:
        if not isinstance(turn, list) or len(turn) != 2:
            raise BadRow("field 'history': wrong turns", f"a turn is {json_type(turn)}; allowed: [question, answer]")
    return [text for turn in value or [] for text in turn]


def texts_to_turns(texts: Iterable[str]) -> list[dict[str, str]]:
    """Convert texts, the human's and the model's alternately, to turns `{from, value}`."""
    return [{"from": SPEAKERS[index % 2], "value": text} for index, text in enumerate(texts)]


def _turn(turn: Any, name: str) -> tuple[str, str]:
    if not isinstance(turn, dict) or turn.get("from") not in SPEAKERS:
        seen = f"from {turn.get('from')!r}" if isinstance(turn, dict) else json_type(turn)
        raise BadRow(f"field {name!r}: wrong turns", f"a turn is {seen}; allowed: {ALLOWED}")
    if not isinstance(turn.get("value"), str):
        seen = json_type(turn.get("value"))
        raise BadRow(f"field {name!r}: wrong type", f"a turn's value is {seen}; allowed: {ALLOWED}")
    return turn["from"], turn["value"]
