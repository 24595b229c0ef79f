"""LLaVA's conversations: turns {from: human|gpt, value}, with a marker at the position of the image."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from mmdpo.errors import UserError
from mmdpo.records import Turn
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.rows import json_type, require_text

MARKER = "<image>"
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


def remove_markers(texts: list[str], name: str, image: Any, indices: Collection[int]) -> list[str]:
    """Remove the image marker from a conversation.

    Args:
        texts: Texts of the turns.
        name: Field name, for the error message.
        image: The row's image; None if it has none.
        indices: Turns in which the marker may stand.

    Returns:
        The texts without marker.

    Raises:
        BadRow: There are several markers, a marker without image, or a marker in another turn.
    """
    marked = [index for index, text in enumerate(texts) for _ in range(text.count(MARKER))]
    if len(marked) > 1:
        raise BadRow(f"field {name!r}: {len(marked)} image markers", "allowed: one image per row")
    if marked and image is None:
        raise BadRow(f"field {name!r}: image marker without image", f"allowed: {MARKER} if the row has an `image`")
    if marked and marked[0] not in indices:
        raise BadRow(f"field {name!r}: misplaced image marker", f"allowed: {MARKER} at the start of a conversation")
    return [_remove_marker(text) if index in marked else text for index, text in enumerate(texts)]


def _remove_marker(text: str) -> str:
    """Remove the marker from a text. If the marker has its own line, spaces of the text are kept."""
    if text.startswith(MARKER + "\n"):
        return text.removeprefix(MARKER + "\n")
    if text.endswith("\n" + MARKER):
        return text.removesuffix("\n" + MARKER)
    return text.replace(MARKER, "").strip()


def add_marker(text: str, images: Collection[str]) -> str:
    """Put the marker before a question that has an image, as LLaVA does."""
    return f"{MARKER}\n{text}" if images else text


def check_writable(id: str, texts: Iterable[str]) -> None:
    """Raise UserError if a text contains the marker itself, because a reader would expect an image there."""
    if any(MARKER in text for text in texts):
        raise UserError(f"{id!r}: its text contains {MARKER}, which marks images in this format; allowed: other text")


def image_name(row: dict[str, Any]) -> str | None:
    """Return the name of a row's image, or None. Raises BadRow if there are several."""
    value = row.get("image")
    if isinstance(value, list):
        if len(value) > 1:
            raise BadRow(f"field 'image': {len(value)} images", "allowed: one image per row")
        value = value[0] if value else None
    return None if value is None else require_text(value, "image", "the name of a file under the image root")


def turns_to_messages(texts: list[str]) -> list[dict[str, str]]:
    """Convert turns to `{role, content}` messages, the user's first, as `pairs.parse` reads them."""
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]


def turns_to_history(texts: list[str]) -> tuple[Turn, ...]:
    """Convert earlier turns, the human's and the model's alternately, to a record's history."""
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return tuple(Turn(question, answer) for question, answer in pairs)


def history_to_turns(history: Iterable[Turn]) -> list[dict[str, str]]:
    """Convert a record's history to turns `{from, value}`."""
    return [
        {"from": speaker, "value": text}
        for turn in history
        for speaker, text in zip(SPEAKERS, (turn.question, turn.answer), strict=True)
    ]


def _turn(turn: Any, name: str) -> tuple[str, str]:
    if not isinstance(turn, dict) or turn.get("from") not in SPEAKERS:
        seen = f"from {turn.get('from')!r}" if isinstance(turn, dict) else json_type(turn)
        raise BadRow(f"field {name!r}: wrong turns", f"a turn is {seen}; allowed: {ALLOWED}")
    if not isinstance(turn.get("value"), str):
        seen = json_type(turn.get("value"))
        raise BadRow(f"field {name!r}: wrong type", f"a turn's value is {seen}; allowed: {ALLOWED}")
    return turn["from"], turn["value"]
