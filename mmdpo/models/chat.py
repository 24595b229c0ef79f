"""Conversations in the form of chat templates, and their tokens."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdpo.errors import UserError
from mmdpo.models.template_check import render_failure
from mmdpo.records import Conversation, ImagePosition

IMAGE_TOKEN = "<image>"  # LLaVA's; others name theirs in `processor.image_token`


def to_messages(record: Conversation, image_token: str = IMAGE_TOKEN) -> list[dict[str, Any]]:
    """Build the chat messages of a record up to and including its question.

    Args:
        record: A prompt, or the prompt of a pair or an example.
        image_token: The model's image token, which no text may contain.

    Returns:
        Messages with `role` and `content`, as `apply_chat_template` takes them. The images stand where the record
        says, by default at the start of the first user message.

    Raises:
        UserError: A text contains the image token. The chat template alone writes the placeholder, so that a
            prompt has exactly one per image.
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


def to_answer(text: str, *, record: str = "", image_token: str = IMAGE_TOKEN) -> list[dict[str, Any]]:
    """Build the assistant message that follows `to_messages`.

    Args:
        text: The answer.
        record: Id of the record, for error messages.
        image_token: The model's image token, which the text may not contain.

    Returns:
        A list with one message.

    Raises:
        UserError: The text contains the image token.
    """
    return [_message("assistant", text, record, image_token)]


def _message(role: str, text: str, record: str, image_token: str) -> dict[str, Any]:
    if image_token in text:
        raise UserError(
            f"Record {record!r}: its text contains the image token {image_token!r}. The chat template writes the "
            "placeholder of a record with an `image`; remove it from the text."
        )
    return {"role": role, "content": [{"type": "text", "text": text}]}


@dataclass(frozen=True)
class Encoded:
    """Tokens of a conversation and its answer; `text` is the prompt, with one placeholder per image."""

    text: str
    prompt_ids: list[int]
    answer_ids: list[int]


def prompt_text(processor: Any, messages: Sequence[dict[str, Any]]) -> str:
    """Render messages by the chat template, up to where the model answers.

    The text begins with BOS if the tokenizer would add it: some templates write BOS themselves, others, such as
    LLaVA's, leave it to the processor. Tokenize the text with `add_special_tokens=False`.
    """
    text = _render(processor, messages, add_generation_prompt=True)
    return _with_bos(_bos(processor), text)


def encode(
    processor: Any, conversations: Sequence[list[dict[str, Any]]], answers: Sequence[list[dict[str, Any]]]
) -> list[Encoded]:
    """Tokenize each conversation with the answer that follows it.

    An answer gets the tokens that it has in the whole text. Tokenized alone, it would begin with another token in
    SentencePiece vocabularies, one that the model has not seen in this place. An answer ends with EOS even if the
    template writes none.

    Args:
        processor: A processor with a tokenizer and a chat template.
        conversations: Messages of `to_messages`, one list per answer. Successive answers to one prompt may share
            the same list object, which is then rendered once.
        answers: Messages of `to_answer`, one list per conversation.

    Returns:
        Tokens of each conversation, in the given order.
    """
    bos = _bos(processor)
    prompts, texts = [], []
    previous: tuple[Any, str] = None, ""
    for conversation, answer in zip(conversations, answers, strict=True):
        if conversation is not previous[0]:
            previous = conversation, prompt_text(processor, conversation)
        whole = _with_bos(bos, _render(processor, [*conversation, *answer], add_generation_prompt=False))
        # Some templates end a prompt with text that an answer replaces; like TRL, take the common prefix.
        prompts.append(os.path.commonprefix([previous[1], whole]))  # noqa: RUF071 (texts, not paths)
        texts.append(whole)
    if not texts:
        return []
    tokenizer = processor.tokenizer
    index_of = {text: index for index, text in enumerate(dict.fromkeys(prompts))}
    # One call for all texts: a fast tokenizer processes them in parallel.
    ids_of_prompts = tokenizer([*index_of], add_special_tokens=False)["input_ids"]
    ids_of_texts = tokenizer(texts, add_special_tokens=False)["input_ids"]
    encoded = []
    for prompt, whole, ids in zip(prompts, texts, ids_of_texts, strict=True):
        prompt_ids = ids_of_prompts[index_of[prompt]]
        if ids[: len(prompt_ids)] == prompt_ids:
            answer_ids = ids[len(prompt_ids) :]
        else:  # one token spans the end of the prompt and the start of the answer
            answer_ids = tokenizer(whole[len(prompt) :], add_special_tokens=False)["input_ids"]
        if tokenizer.eos_token_id not in answer_ids:
            answer_ids = [*answer_ids, tokenizer.eos_token_id]
        encoded.append(Encoded(prompt, list(prompt_ids), list(answer_ids)))
    return encoded


def check_placeholders(processor: Any, text: str, images: int, record: str) -> None:
    """Check that a prompt has one placeholder per image.

    Args:
        processor: The model's processor, which names the image token.
        text: The rendered prompt.
        images: Number of the prompt's images.
        record: Id of the record, for the error message.

    Raises:
        UserError: The numbers of placeholders and images differ.
    """
    placeholders = text.count(getattr(processor, "image_token", IMAGE_TOKEN))
    if placeholders != images:
        raise UserError(
            f"Record {record!r}: its prompt has {placeholders} image placeholders for {images} images. "
            "Type model.path= with a model whose chat template takes images."
        )


def _render(processor: Any, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str:
    try:
        text: str = processor.apply_chat_template(
            list(messages), add_generation_prompt=add_generation_prompt, tokenize=False
        )
    except Exception as error:  # a template raises what it likes, on roles that do not alternate for example
        raise UserError(render_failure(error)) from error
    return text


def _bos(processor: Any) -> str:
    """Return BOS if the tokenizer adds it before a text, else an empty string."""
    bos, token = processor.tokenizer.bos_token, processor.tokenizer.bos_token_id
    adds = bos is not None and processor.tokenizer("a")["input_ids"][:1] == [token]
    return bos if adds else ""


def _with_bos(bos: str, text: str) -> str:
    return text if text.startswith(bos) else bos + text
