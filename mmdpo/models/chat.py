"""Conversations in the form of chat templates, and their tokens."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmdpo.errors import UserError
from mmdpo.models.special_tokens import mark, marked, process, special_tokens, token_ids, without_marked
from mmdpo.models.template_check import render_failure
from mmdpo.records import Conversation, ImagePosition, Turn

IMAGE_TOKEN = "<image>"  # LLaVA's; others name theirs in `processor.image_token`
NO_SYSTEM = (
    "Type model.chat_template= with a template that takes one, model.path= with another model, or remove the system "
    "turns from the data."
)


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


def without_end_tokens(record: Conversation, ends: Sequence[str]) -> Conversation:
    """Return a record whose earlier answers do not end with a token that the chat template writes after answers."""
    history = tuple(Turn(turn.question, without_end_token(turn.answer, ends)) for turn in record.history)
    return record if history == record.history else replace(record, history=history)


def without_end_token(answer: str, ends: Sequence[str]) -> str:
    """Return an answer without one token at its end that the chat template writes there.

    Args:
        answer: The answer.
        ends: The result of `end_tokens`.
    """
    text = answer.rstrip()
    return next((text.removesuffix(end).rstrip() for end in ends if text.endswith(end)), answer)


def end_tokens(processor: Any) -> list[str]:
    """Return EOS, and the special tokens that the chat template writes after an answer."""
    messages = [{"role": role, "content": [{"type": "text", "text": "a"}]} for role in ("user", "assistant")]
    tail = _render(processor, messages, add_generation_prompt=False).rpartition("a")[2]
    eos = [processor.tokenizer.eos_token] if processor.tokenizer.eos_token else []
    return list(dict.fromkeys([*eos, *special_tokens(processor).findall(tail)]))


@dataclass(frozen=True)
class Encoded:
    """Tokens of a conversation and its answer.

    `text` is the prompt, with one placeholder per image and marks around special tokens that are ordinary text.
    """

    text: str
    prompt_ids: list[int]
    answer_ids: list[int]


def prompt_text(processor: Any, messages: Sequence[dict[str, Any]]) -> str:
    """Render messages by the chat template, up to where the model answers.

    The text begins with BOS if the tokenizer would add it: some templates write BOS themselves, others, such as
    LLaVA's, leave it to the processor. Tokenize the text with `special_tokens.token_ids` or `process`: special tokens
    in the messages' own texts are marked.
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
    ids_of_prompts = dict(zip(prompts, token_ids(tokenizer, prompts), strict=True))
    ids_of_texts = token_ids(tokenizer, texts)
    encoded = []
    for prompt, whole, ids in zip(prompts, texts, ids_of_texts, strict=True):
        prompt_ids = ids_of_prompts[prompt]
        if ids[: len(prompt_ids)] == prompt_ids:
            answer_ids = ids[len(prompt_ids) :]
        else:  # one token spans the end of the prompt and the start of the answer
            (answer_ids,) = token_ids(tokenizer, [whole[len(prompt) :]])
        if tokenizer.eos_token_id not in answer_ids:
            answer_ids = [*answer_ids, tokenizer.eos_token_id]
        encoded.append(Encoded(prompt, list(prompt_ids), list(answer_ids)))
    return encoded


def check_prompt(processor: Any, text: str, record: Conversation) -> None:
    """Check that a rendered prompt has all that its record has: the images and the system turn.

    Args:
        processor: The model's processor.
        text: The rendered prompt.
        record: Its record.

    Raises:
        UserError: The numbers of placeholders and images differ, or the chat template dropped the system turn.
    """
    check_placeholders(processor, text, len(record.images), record.id)
    if record.system and mark(special_tokens(processor), record.system).strip() not in text:
        raise UserError(f"Record {record.id!r}: the chat template of the model drops the system turn. {NO_SYSTEM}")


def check_records(processor: Any, records: Iterable[Conversation]) -> None:
    """Check that a model takes records of these forms: several images, images in later turns, system turns.

    One record per form is rendered, and of those with several images the first with the most is processed, with blank
    images.

    Args:
        processor: The model's processor.
        records: The records.

    Raises:
        UserError: The chat template or the processor does not take one of the forms.
    """
    from PIL import Image

    forms = {
        (len(one.images), bool(one.system), tuple(place.turn for place in one.image_positions)): one for one in records
    }
    token = getattr(processor, "image_token", IMAGE_TOKEN)
    for (images, _, _), record in sorted(forms.items(), key=lambda form: form[0]):
        text = prompt_text(processor, to_messages(record, token))
        check_prompt(processor, text, record)
        if images > 1 and images == max(form[0] for form in forms):
            process(processor, [text], [[Image.new("RGB", (64, 64))] * images])


def moves_images(processor: Any, messages: Sequence[dict[str, Any]], text: str) -> bool:
    """Return whether a rendered prompt has its images elsewhere in their turns than the messages."""
    token, start = getattr(processor, "image_token", IMAGE_TOKEN), 0
    for message in marked(processor, messages):
        for part in message["content"]:
            piece = token if part["type"] == "image" else part["text"].strip()
            found = text.find(piece, start)
            if found < 0:
                return True
            start = found + len(piece)
    return False


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
    placeholders = without_marked(text).count(getattr(processor, "image_token", IMAGE_TOKEN))
    if placeholders != images:
        several = " several" if images > 1 else ""
        raise UserError(
            f"Record {record!r}: its prompt has {placeholders} image placeholders for {images} images. "
            f"Type model.path= with a model whose chat template takes{several} images."
        )


def _render(processor: Any, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str:
    """Render messages, with marks around special tokens in their texts."""
    try:
        text: str = processor.apply_chat_template(
            marked(processor, messages), add_generation_prompt=add_generation_prompt, tokenize=False
        )
    except Exception as error:  # a template raises what it likes, on roles that do not alternate for example
        if messages[0]["role"] == "system":
            raise UserError(f"The chat template of the model refuses a system turn ({error}). {NO_SYSTEM}") from error
        raise UserError(render_failure(error)) from error
    return text


def _bos(processor: Any) -> str:
    """Return BOS if the tokenizer adds it before a text, else an empty string."""
    bos, token = processor.tokenizer.bos_token, processor.tokenizer.bos_token_id
    adds = bos is not None and processor.tokenizer("a")["input_ids"][:1] == [token]
    return bos if adds else ""


def _with_bos(bos: str, text: str) -> str:
    return text if text.startswith(bos) else bos + text
