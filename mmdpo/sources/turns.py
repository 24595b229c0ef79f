"""Turns of a conversation in the forms `{role, content}` and `{from, value}`, and the places of their images.

The content is text, in which `<image>` stands for an image, or a list of parts of type text and image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdpo.records import ImagePosition, Turn
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.markers import MARKER, forbid_markers, split_markers
from mmdpo.sources.row_images import Image, read_image
from mmdpo.sources.rows import json_type, require_text

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
"""Names of the speakers in files, and their names here."""

IMAGE_PARTS = ("image", "image_url", "input_image")
TEXT_PARTS = ("text", "input_text", "output_text")
PARTS = "parts of type text and image"


@dataclass(frozen=True)
class Slot:
    """Place of an image in a text.

    Attributes:
        offset: Number of characters before the image.
        image: The image, if the part itself holds or names it.
        index: Index of the image among the row's images, if the part gives one.
    """

    offset: int
    image: Image | None = None
    index: int | None = None


@dataclass(frozen=True)
class Message:
    """One turn: the speaker's role, the text without markers, and the places of its images."""

    role: str
    text: str
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Dialogue:
    """Conversation up to the user's last turn; the fields are those of `mmdpo.records.Prompt`."""

    question: str
    history: tuple[Turn, ...] = ()
    system: str = ""
    images: tuple[Image, ...] = ()
    image_positions: tuple[ImagePosition, ...] = ()


def read_messages(value: Any, name: str, allowed: str, role: str = "user") -> list[Message]:
    """Read text, one turn, or a list of turns.

    Args:
        value: The field's value.
        name: The field, for the error message.
        allowed: Description of the allowed values, for the error message.
        role: The speaker of plain text.

    Returns:
        The turns; their order is not checked.

    Raises:
        BadRow: The value is missing or of another type, or a turn is empty.
    """
    if isinstance(value, list):
        return [_message(turn, name, allowed) for turn in value]
    if isinstance(value, dict) and ("role" in value or "from" in value):
        return [_message(value, name, allowed)]
    return [_marked_message(role, value, name, allowed)]


def make_dialogue(messages: Sequence[Message], name: str, images: Sequence[Image] = (), system: Any = None) -> Dialogue:
    """Build a conversation that ends with the user.

    Args:
        messages: The turns, the first of which may be the system's.
        name: The field, for error messages.
        images: The row's images, for turns that only mark their places.
        system: Value of the row's field `system`.

    Returns:
        The conversation.

    Raises:
        BadRow: The turns are in another order, an answer has an image, or markers and images do not match.
    """
    turns = list(messages)
    instruction = require_text(system, "system") if system not in (None, "") else ""
    forbid_markers([instruction], "system")
    if turns and turns[0].role == "system":
        forbid_images(turns[0], name)
        instruction = one_system(instruction, turns.pop(0).text)
    roles = [turn.role for turn in turns]
    if roles != [("user", "assistant")[index % 2] for index in range(len(roles))] or len(roles) % 2 == 0:
        seen = ", ".join(message.role for message in messages) or "none"
        allowed = "user and assistant in turn, the user last; one system turn before them"
        raise BadRow(f"field {name!r}: wrong turns", f"roles are {seen}; allowed: {allowed}")
    for turn in turns[1::2]:
        forbid_images(turn, name)
    slots = [(index, slot) for index, turn in enumerate(turns) for slot in turn.slots]
    placed = _placed([slot for _, slot in slots], images, name) if slots else tuple(images)
    positions = tuple(ImagePosition(index, slot.offset) for index, slot in slots)
    if all(position == ImagePosition(0, 0) for position in positions):
        positions = ()
    texts = [turn.text for turn in turns]
    history = tuple(map(Turn, texts[:-1:2], texts[1::2]))
    return Dialogue(texts[-1], history, instruction, placed, positions)


def forbid_images(message: Message, name: str) -> None:
    """Raise BadRow if a turn has images; only the user's may."""
    if message.slots:
        reason = "image in an answer" if message.role == "assistant" else "misplaced image"
        detail = f"it has {len(message.slots)} ({MARKER} in a text marks one); allowed: images in the user's turns"
        raise BadRow(f"field {name!r}: {reason}", detail)


def one_system(column: str | None, turn: str | None) -> str:
    """Return the system's text from the column or the first turn. Raises BadRow if the two differ."""
    if column and turn and column != turn:
        raise BadRow("field 'system': differs from the system turn", "allowed: one of them, or the same text in both")
    return turn or column or ""


def _placed(slots: Sequence[Slot], images: Sequence[Image], name: str) -> tuple[Image, ...]:
    """Return the image of each place. Raises BadRow if there are too few or too many."""
    placed: list[Image] = []
    used: set[int] = set()
    marked = 0
    for slot in slots:
        if slot.image is not None:
            placed.append(slot.image)
            continue
        index = marked if slot.index is None else slot.index
        marked += 1
        if not 0 <= index < len(images):
            break
        used.add(index)
        placed.append(images[index])
    if len(placed) == len(slots) and (len(used) == len(images) or (not used and placed == list(images))):
        return tuple(placed)
    markers = sum(slot.image is None for slot in slots)
    if not images:
        raise BadRow(f"field {name!r}: image marker without image", f"allowed: {MARKER} if the row has an image")
    raise BadRow(
        f"field {name!r}: {markers} image markers for {len(images)} image{'s' * (len(images) > 1)}",
        "allowed: a marker for each image, or none",
    )


def _message(turn: Any, name: str, allowed: str) -> Message:
    key = "role" if isinstance(turn, dict) and turn.get("role") is not None else "from"
    if not isinstance(turn, dict) or not isinstance(turn.get(key), str):
        raise BadRow(f"field {name!r}: wrong type", f"a turn is {json_type(turn)}; allowed: {allowed}")
    if turn.get("tool_calls") or turn.get("function_call"):
        raise BadRow(f"field {name!r}: a call of a tool", "allowed: turns of text and images")
    role = str(ROLES.get(turn[key], turn[key]))
    content = turn.get("content" if key == "role" else "value")
    if role == "system" and content in (None, "", []):
        return Message(role, "")
    if isinstance(content, list):
        return _of_parts(role, content, name, allowed)
    return _marked_message(role, content, name, allowed)


def _marked_message(role: str, value: Any, name: str, allowed: str) -> Message:
    marked = require_text(value, name, allowed)
    if MARKER not in marked:
        return Message(role, marked)
    text, offsets = split_markers(marked)
    return Message(role, require_text(text, name, allowed), tuple(map(Slot, offsets)))


def _of_parts(role: str, parts: list[Any], name: str, allowed: str) -> Message:
    """Join the parts of a turn. Parts of text are separated by a line break, unless a space is there already."""
    text, texts = "", 0
    slots: list[Slot] = []
    after_text = False
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in IMAGE_PARTS:
            slots.append(_image_slot(part, len(text), name))
            after_text = False
        elif kind in TEXT_PARTS:
            value = part.get("text")
            piece, offsets = split_markers("" if value is None else _part_text(value, name))
            spaced = not after_text and (text[-1:].isspace() or piece[:1].isspace())
            text += "\n" * (texts > 0 and not spaced)
            slots += [Slot(len(text) + offset) for offset in offsets]
            text += piece
            texts, after_text = texts + 1, True
        else:
            seen = f"of type {kind!r}" if isinstance(part, dict) else json_type(part)
            raise BadRow(f"field {name!r}: wrong part", f"a part of a turn is {seen}; allowed: {PARTS}")
    return Message(role, require_text(text, name, allowed), tuple(slots))


def _part_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise BadRow(f"field {name!r}: wrong part", f"the text of a part is {json_type(value)}; allowed: {PARTS}")
    return value


def _image_slot(part: dict[str, Any], offset: int, name: str) -> Slot:
    image = next((part[key] for key in ("image", "image_url", "url", "path") if part.get(key) is not None), None)
    index = part.get("index")
    if image is not None:
        return Slot(offset, read_image(image, name))
    return Slot(offset, index=index if type(index) is int else None)
