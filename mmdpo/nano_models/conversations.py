"""Training conversations of the miniature: questions, answers, and their tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import torch
from PIL import Image

from mmdpo.nano import text, visual
from mmdpo.nano.draw import blank_image, draw
from mmdpo.nano.oracle import rate
from mmdpo.nano.splits import draw_prompt, draw_view
from mmdpo.nano.words import ANIMALS, NAMES, NUMBERS, attribute_sentence
from mmdpo.nano.world import Scene, View, random_view
from mmdpo.nano_models.processor import ASSISTANT, EOS, IMAGE, IMAGE_TOKENS, PAD, USER, VOCABULARY
from mmdpo.records import Prompt, Turn

IGNORED = -100
_PIECES = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class DataMix:
    """Composition of the training data; shares are 0..1."""

    images: int  # conversations about an image per step
    texts: int  # conversations without an image per step
    turns: int  # questions per conversation
    brief: float = 0.3  # share of questions that say "Answer briefly." and get a short answer
    terse: float = 0.0  # share of the other questions that get a short answer
    attributes: float = 0.0  # share of questions that ask for ratings and get an answer with these ratings
    unrelated: float = 0.0  # share of text conversations with an unrelated image


class TokenRow(NamedTuple):
    """Tokens of a conversation; `labels` are the answers' tokens, and IGNORED elsewhere."""

    ids: list[int]
    labels: list[int]
    image: Image.Image | None


class Batch(NamedTuple):
    """Rows padded on the right: ids and labels [B, T], and the images of the rows that have one."""

    ids: torch.Tensor
    labels: torch.Tensor
    images: list[Image.Image]


def token_ids(words: str) -> list[int]:
    """Return the token ids of a text as the processor's tokenizer does, without its overhead."""
    return [VOCABULARY[piece] for piece in _PIECES.findall(words)]


def row(turns: Iterable[Turn], image: Image.Image | None) -> TokenRow:
    """Tokenize a conversation as the chat template renders it."""
    ids, labels = [], []
    for number, turn in enumerate(turns):
        picture = [VOCABULARY[IMAGE]] * IMAGE_TOKENS if image and number == 0 else []
        question = [VOCABULARY[USER], *picture, *token_ids(turn.question), VOCABULARY[ASSISTANT]]
        answer = [*token_ids(turn.answer), VOCABULARY[EOS]]
        ids += question + answer
        labels += [IGNORED] * len(question) + answer
    return TokenRow(ids, labels, image)


def collate(rows: Sequence[TokenRow]) -> Batch:
    """Pad rows to one batch."""
    longest = max(len(row.ids) for row in rows)
    ids = [row.ids + [VOCABULARY[PAD]] * (longest - len(row.ids)) for row in rows]
    labels = [row.labels + [IGNORED] * (longest - len(row.labels)) for row in rows]
    return Batch(torch.tensor(ids), torch.tensor(labels), [row.image for row in rows if row.image])


def corrupt_answer(prompt: Prompt, rng: Random) -> str:
    """Make a wrong answer by exchanging one word of the right one."""
    full, facts = prompt.facts["full"], prompt.facts
    inside = [word for word in facts["answer"] if re.search(rf"\b{word}\b", full)]
    others = [word for word in facts["choices"] if word not in facts["answer"]]
    if not inside or not others:
        return str(full)
    return re.sub(rf"\b{rng.choice(inside)}\b", rng.choice(others), full)


def answered(prompt: Prompt, mix: DataMix, rng: Random) -> list[Turn]:
    """Return the prompt's earlier turns and its question with an answer in the style of the mix."""
    before = list(prompt.history)
    has_short = prompt.category not in text.NEVER_BRIEF
    full, short = prompt.facts["full"], prompt.facts["short"]
    if rng.random() < mix.attributes:
        answer = rng.choice((full, full, short, corrupt_answer(prompt, rng)))
        sentence = attribute_sentence(list(rate(prompt, answer).values()))
        return [*before, Turn(f"{prompt.question} {sentence}", answer)]
    if has_short and rng.random() < mix.brief:
        return [*before, Turn(visual.briefly(prompt).question, short)]
    terse = has_short and rng.random() < mix.terse
    return [*before, Turn(prompt.question, short if terse else full)]


def image_row(mix: DataMix, rng: Random) -> TokenRow:
    """Make a conversation about one image of the base split."""
    view = draw_view("base", rng)
    asked = {prompt.question: prompt for prompt in (visual.ask(view, rng) for _ in range(mix.turns))}
    return row([turn for prompt in asked.values() for turn in answered(prompt, mix, rng)], draw(view))


def text_row(mix: DataMix, rng: Random) -> TokenRow:
    """Make a conversation of text instructions, in a share of cases after an unrelated image."""
    image = None
    if rng.random() < mix.unrelated:
        image = blank_image(rng.randrange(2**31)) if rng.random() < 0.7 else draw(draw_view("base", rng, random_view))
    prompts = [draw_prompt("base", rng, text.instruct) for _ in range(max(1, mix.turns // 2))]
    return row([turn for prompt in prompts for turn in answered(prompt, mix, rng)], image)


def caption_row(rng: Random, seen: bool, length: int) -> TokenRow:
    """Make a caption that repeats the content of an image or of a list in random order.

    After the first word of a group, the others can only be predicted by looking them up. So nearly every second
    token teaches the model to look. In plain conversations it is one in ten, and models of this size then learn
    well-formed answers that ignore the image.

    Args:
        rng: Random numbers.
        seen: Whether the content is in an image; otherwise it is a list in words.
        length: Minimum number of tokens.

    Returns:
        The row; only repeated words have labels.
    """
    view = draw_view("base", rng)
    groups = _groups(view)
    if not seen and rng.random() < 0.4:
        count = rng.randint(2, 4)
        groups = list(zip(*(rng.sample(words, count) for words in (NAMES, ANIMALS, NUMBERS[:21])), strict=True))
    listed = "" if seen else "; ".join(" ".join(group) for group in rng.sample(groups, len(groups))) + ". "
    picture = [VOCABULARY[IMAGE]] * IMAGE_TOKENS if seen else []
    ids = [VOCABULARY[USER], *picture, *token_ids(f"{listed}Describe it."), VOCABULARY[ASSISTANT]]
    labels = [IGNORED] * len(ids)
    shuffled = seen or rng.random() < 0.5
    while len(ids) < length:
        for group in rng.sample(groups, len(groups)):
            words = token_ids(" ".join(rng.sample(group, len(group)) if shuffled else group))
            ids += [*words, VOCABULARY[","]]
            labels += [IGNORED, *words[1:], IGNORED]
    return TokenRow(ids, labels, draw(view) if seen else None)


def _groups(view: View) -> list[tuple[str, ...]]:
    """List the groups of words that belong together in a view."""
    if isinstance(view, Scene):
        return [(thing.colour, thing.shape, thing.place) for thing in view.things]
    return [(bar.colour, str(bar.value)) for bar in view.bars]


def caption_batch(mix: DataMix, rng: Random, length: int = 90) -> Batch:
    """Make one step's captions, as many as the mix has conversations with and without an image."""
    rows = [caption_row(rng, True, length) for _ in range(mix.images)]
    return collate(rows + [caption_row(rng, False, length) for _ in range(mix.texts)])


def batch(mix: DataMix, rng: Random) -> Batch:
    """Make one step's conversations."""
    rows = [image_row(mix, rng) for _ in range(mix.images)] + [text_row(mix, rng) for _ in range(mix.texts)]
    return collate(rows)
