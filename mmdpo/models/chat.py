"""Questions and answers as the conversations that chat templates take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdpo.errors import UserError
from mmdpo.records import Turn

IMAGE_TOKEN = "<image>"  # LLaVA's; others name theirs in `processor.image_token`


def messages(
    question: str,
    history: Sequence[Turn] = (),
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


@dataclass(frozen=True)
class Encoded:
    """A conversation and its answer as tokens; `text` is the prompt, its image one placeholder."""

    text: str
    prompt_ids: list[int]
    answer_ids: list[int]


def prompt_text(processor: Any, conversation: Sequence[dict[str, Any]]) -> str:
    """The conversation in the model's own form, up to where it answers.

    It begins with BOS where the tokenizer would put one: a template may leave that to the processor, as
    LLaVA's does, or write it itself. To be tokenised without special tokens of the tokenizer's own.
    """
    text = _rendered(processor, conversation, add_generation_prompt=True)
    return _with_bos(_bos(processor), text)


def encoded(
    processor: Any, conversations: Sequence[list[dict[str, Any]]], answers: Sequence[list[dict[str, Any]]]
) -> list[Encoded]:
    """Each conversation with the answer that follows it.

    The answer's tokens are those that it has in the whole text: tokenised alone, it would begin with
    another token in SentencePiece's vocabularies, which the model never saw there. It ends with EOS also
    where the template writes none.
    """
    bos = _bos(processor)
    prompts, texts = [], []
    before: tuple[Any, str] = None, ""  # the answers to a prompt follow each other
    for conversation, turn in zip(conversations, answers, strict=True):
        if conversation is not before[0]:
            before = conversation, prompt_text(processor, conversation)
        whole = _with_bos(bos, _rendered(processor, [*conversation, *turn], add_generation_prompt=False))
        # Some templates end a prompt with what an answer replaces; TRL too takes what both have in common.
        prompts.append(os.path.commonprefix([before[1], whole]))
        texts.append(whole)
    if not texts:
        return []
    tokenizer = processor.tokenizer
    distinct = {text: place for place, text in enumerate(dict.fromkeys(prompts))}
    # One call for all: a fast tokenizer takes them in parallel.
    of_prompts = tokenizer([*distinct], add_special_tokens=False)["input_ids"]
    of_texts = tokenizer(texts, add_special_tokens=False)["input_ids"]
    result = []
    for prompt, whole, ids in zip(prompts, texts, of_texts, strict=True):
        prompt_ids = of_prompts[distinct[prompt]]
        if ids[: len(prompt_ids)] == prompt_ids:
            own = ids[len(prompt_ids) :]
        else:  # a token spans the seam
            own = tokenizer(whole[len(prompt) :], add_special_tokens=False)["input_ids"]
        if tokenizer.eos_token_id not in own:
            own = [*own, tokenizer.eos_token_id]
        result.append(Encoded(prompt, list(prompt_ids), list(own)))
    return result


def check_placeholders(processor: Any, text: str, has_image: bool, record: str) -> None:
    """Raise UserError, naming the record, unless the prompt has one placeholder for an image, else none."""
    written = text.count(getattr(processor, "image_token", IMAGE_TOKEN))
    if written != int(has_image):
        raise UserError(
            f"Record {record!r}: its prompt has {written} image placeholders for {int(has_image)} images. "
            "Type model.path= with a model whose template takes images."
        )


def _rendered(processor: Any, conversation: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str:
    text: str = processor.apply_chat_template(
        list(conversation), add_generation_prompt=add_generation_prompt, tokenize=False
    )
    return text


def _bos(processor: Any) -> str:
    """BOS where the tokenizer puts one before a text, else nothing."""
    bos, token = processor.tokenizer.bos_token, processor.tokenizer.bos_token_id
    adds = bos is not None and processor.tokenizer("a")["input_ids"][:1] == [token]
    return bos if adds else ""


def _with_bos(bos: str, text: str) -> str:
    return text if text.startswith(bos) else bos + text
