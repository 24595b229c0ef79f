"""Messages of a conversation, in the form that chat templates take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdpo.errors import UserError
from mmdpo.records import Conversation, ImagePosition

IMAGE_TOKEN = "<image>"  # LLaVA's; others name theirs in `processor.image_token`


def to_messages(record: Conversation, image_token: str = IMAGE_TOKEN) -> list[dict[str, Any]]:
    """Build the chat messages of a record up to and including its question.

    Args:
        record: A prompt, or the prompt of a pair or an example.
        image_token: The model's image token.

    Returns:
        Messages with `role` and `content`, as `apply_chat_template` takes them. The images stand where the record
        says, by default at the start of the first user message.

    Raises:
        UserError: A text of the user contains `<image>`, and that is the model's image token: data files mark images
            so, and a marker that was not read is an image that is missing. Other special tokens are ordinary text.
    """
    texts = [text for turn in record.history for text in (turn.question, turn.answer)] + [record.question]
    positions = record.image_positions or (ImagePosition(0, 0),) * len(record.images)
    messages: list[dict[str, Any]] = []
    if record.system:
        messages.append(_message("system", record.system, record.id, image_token))
    for index, text in enumerate(texts):
        message = _message(("user", "assistant")[index % 2], text, record.id, image_token)
        offsets = [position.offset for position in positions if position.turn == index]
        if offsets:
            message["content"] = _parts(text, offsets)
        messages.append(message)
    return messages


def _parts(text: str, offsets: Sequence[int]) -> list[dict[str, Any]]:
    """Split a text into parts, with an image at each offset."""
    parts: list[dict[str, Any]] = []
    start = 0
    for offset in sorted(offsets):
        if text[start:offset]:
            parts.append({"type": "text", "text": text[start:offset]})
        parts.append({"type": "image"})
        start = offset
    if text[start:]:
        parts.append({"type": "text", "text": text[start:]})
    return parts


def to_answer(text: str) -> list[dict[str, Any]]:
    """Build the assistant message that follows `to_messages`, as a list of one message."""
    return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]


def _message(role: str, text: str, record: str, image_token: str) -> dict[str, Any]:
    if role != "assistant" and image_token == IMAGE_TOKEN and IMAGE_TOKEN in text:
        raise UserError(
            f"Record {record!r}: its text contains the image token {image_token!r}. The chat template writes the "
            "placeholder of a record with an `image`; remove it from the text."
        )
    return {"role": role, "content": [{"type": "text", "text": text}]}
