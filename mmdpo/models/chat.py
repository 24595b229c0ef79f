"""Questions and answers as the conversations that chat templates take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdpo.errors import UserError
from mmdpo.records import Exchange

IMAGE_TOKEN = "<image>"  # LLaVA's; others name theirs in `processor.image_token`


def messages(
    question: str,
    history: Sequence[Exchange] = (),
    has_image: bool = False,
    *,
    record: str = "",
    image_token: str = IMAGE_TOKEN,
) -> list[dict[str, Any]]:
    """The conversation up to `question`; the image is the first part of the first user turn.

    Raises UserError, naming `record`, where a text holds the model's image token itself: a prompt
    has exactly one placeholder an image, and the chat template writes it.
    """
    turns: list[dict[str, Any]] = []
    for exchange in history:
        turns.append(_turn("user", exchange.question, record, image_token))
        turns.append(_turn("assistant", exchange.answer, record, image_token))
    turns.append(_turn("user", question, record, image_token))
    if has_image:
        turns[0]["content"].insert(0, {"type": "image"})
    return turns


def answer(text: str, *, record: str = "", image_token: str = IMAGE_TOKEN) -> list[dict[str, Any]]:
    """The assistant's turn that follows `messages`."""
    return [_turn("assistant", text, record, image_token)]


def _turn(role: str, text: str, record: str, image_token: str) -> dict[str, Any]:
    if image_token in text:
        raise UserError(
            f"Record {record!r}: its text holds the image token {image_token!r}. The placeholder is written "
            "where the record has an `image`; take it out of the text."
        )
    return {"role": role, "content": [{"type": "text", "text": text}]}
