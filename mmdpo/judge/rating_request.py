"""The request that asks a judge to rate the completions of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mmdpo.clients.answers import Answer, ParseFailure
from mmdpo.clients.request import Message, ReplySettings, Request
from mmdpo.config.schema import JudgeConfig
from mmdpo.files import fingerprint
from mmdpo.judge.items import Item, digest_of, images_of
from mmdpo.judge.parsing import ParsedRatings
from mmdpo.judge.rubric import Rubric, load_rubric
from mmdpo.records import Prompt

ANNOTATE = "annotate"
"""Purpose of the requests for ratings."""


@dataclass(frozen=True)
class RatingRequest(Request):
    """A request for ratings; `texts` are the distinct completions of `prompt`, in presentation order."""

    prompt: Prompt = Prompt("", "")
    texts: tuple[str, ...] = ()


def rating_request(item: Item, image_root: Path, judge: JudgeConfig, repetition: int = 0) -> RatingRequest:
    """Return the request for the ratings of an item; equal completions are presented once.

    Args:
        item: A prompt and its completions.
        image_root: Folder of the prompt's images.
        judge: The judge that is asked.
        repetition: 0 for the first rating; a repeated rating has another key and another order.
    """
    prompt, completions = item
    rubric = load_rubric(judge.rubric)
    distinct = list(dict.fromkeys(completion.text for completion in completions))
    texts = _shuffled(distinct, f"{judge.seed} {repetition} {prompt.id}")
    images = images_of(prompt, image_root)
    text = rubric.prompt_text(prompt, texts)
    fixed, per_completion = rubric.reply_tokens
    return RatingRequest(
        key=fingerprint([text, digest_of(images), judge_identity(judge), repetition], length=32),
        record_id=prompt.id,
        purpose=ANNOTATE,
        messages=(Message("user", text),),
        images=images,
        schema=rubric.schema(len(texts)),
        settings=reply_settings(judge),
        reminder=rubric.reminder,
        expected_tokens=fixed + per_completion * len(texts),
        prompt=prompt,
        texts=texts,
    )


def reply_settings(judge: JudgeConfig) -> ReplySettings:
    """Return the decoding settings of a judge."""
    return ReplySettings(judge.temperature, judge.max_output_tokens, judge.structured)


def judge_identity(judge: JudgeConfig) -> dict[str, object]:
    """Return what a judge's reply depends on besides the request; not its label, limits and prices."""
    rubric = load_rubric(judge.rubric)
    return {
        "judge": [judge.client, judge.model, judge.base_url],
        "rubric": fingerprint([rubric.name, rubric.instructions]),
        "decoding": [judge.temperature, judge.max_output_tokens, judge.structured, judge.image_side],
    }


def rating_parser(rubric: Rubric, request: Request, answer: Answer) -> ParsedRatings | ParseFailure:
    """Parse the reply to a RatingRequest; a reply that ended at the token limit fails as `truncated`."""
    assert isinstance(request, RatingRequest)
    parsed = rubric.parse(answer.text, len(request.texts))
    return ParseFailure("truncated") if isinstance(parsed, ParseFailure) and answer.truncated else parsed


def _shuffled(texts: Sequence[str], seed: str) -> tuple[str, ...]:
    order = list(range(len(texts)))
    Random(seed).shuffle(order)
    return tuple(texts[index] for index in order)
