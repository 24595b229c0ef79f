"""Training conversations of the miniature: what is asked, what is answered, and the tokens of both."""

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
from mmdpo.records import Prompt

IGNORED = -100
_PIECES = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class DataMix:
    """What a model is fed: how conversations are made, and in which shares (0..1)."""

    images: int  # conversations about an image, a step
    texts: int  # conversations in text alone, a step
    turns: int  # questions of a conversation
    brief: float = 0.3  # of the questions that say "Answer briefly.", and are answered so
    terse: float = 0.0  # of the other questions that are answered in a word all the same
    attributes: float = 0.0  # of the questions that ask for ratings, and get an answer that earns them
    unrelated: float = 0.0  # of the text conversations that have an image without meaning for them


class Turn(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


class Row(NamedTuple):
    """A conversation in tokens; `labels` holds the answers' tokens and IGNORED elsewhere."""

    ids: list[int]
    labels: list[int]
    image: Image.Image | None


class Batch(NamedTuple):
    """Rows padded on the right: ids and labels [B, T], and the images of those rows that have one."""

    ids: torch.Tensor
    labels: torch.Tensor
    images: list[Image.Image]


def tokens(words: str) -> list[int]:
    """The token ids of words of the language: what the processor's tokenizer gives, without its overhead."""
    return [VOCABULARY[piece] for piece in _PIECES.findall(words)]


def row(turns: Iterable[Turn], image: Image.Image | None) -> Row:
    """The tokens of a conversation, as the chat template writes them."""
    ids, labels = [], []
    for number, turn in enumerate(turns):
        picture = [VOCABULARY[IMAGE]] * IMAGE_TOKENS if image and number == 0 else []
        asked = [VOCABULARY[USER], *picture, *tokens(turn.question), VOCABULARY[ASSISTANT]]
        answered = [*tokens(turn.answer), VOCABULARY[EOS]]
        ids += asked + answered
        labels += [IGNORED] * len(asked) + answered
    return Row(ids, labels, image)


def collate(rows: Sequence[Row]) -> Batch:
    """Rows as one batch."""
    longest = max(len(row.ids) for row in rows)
    ids = [row.ids + [VOCABULARY[PAD]] * (longest - len(row.ids)) for row in rows]
    labels = [row.labels + [IGNORED] * (longest - len(row.labels)) for row in rows]
    return Batch(torch.tensor(ids), torch.tensor(labels), [row.image for row in rows if row.image])


def corrupt_answer(prompt: Prompt, rng: Random) -> str:
    """A sentence that answers wrongly: one word of the right answer is exchanged."""
    full, known = prompt.facts["full"], prompt.facts
    inside = [word for word in known["answer"] if re.search(rf"\b{word}\b", full)]
    others = [word for word in known["choices"] if word not in known["answer"]]
    if not inside or not others:
        return str(full)
    return re.sub(rf"\b{rng.choice(inside)}\b", rng.choice(others), full)


def answered(prompt: Prompt, diet: DataMix, rng: Random) -> list[Turn]:
    """The prompt as turns: what went before, and the question with an answer in the diet's manner."""
    before = [Turn(turn.question, turn.answer) for turn in prompt.history]
    has_short = prompt.category not in text.NEVER_BRIEF
    full, short = prompt.facts["full"], prompt.facts["short"]
    if rng.random() < diet.attributes:
        answer = rng.choice((full, full, short, corrupt_answer(prompt, rng)))
        sentence = attribute_sentence(list(rate(prompt, answer).values()))
        return [*before, Turn(f"{prompt.question} {sentence}", answer)]
    if has_short and rng.random() < diet.brief:
        return [*before, Turn(visual.briefly(prompt).question, short)]
    terse = has_short and rng.random() < diet.terse
    return [*before, Turn(prompt.question, short if terse else full)]


def image_row(diet: DataMix, rng: Random) -> Row:
    """A conversation about one image of the base split."""
    view = draw_view("base", rng)
    asked = {prompt.question: prompt for prompt in (visual.ask(view, rng) for _ in range(diet.turns))}
    return row([turn for prompt in asked.values() for turn in answered(prompt, diet, rng)], draw(view))


def text_row(diet: DataMix, rng: Random) -> Row:
    """Unrelated text instructions; now and then an image stands before them that means nothing."""
    image = None
    if rng.random() < diet.unrelated:
        image = blank_image(rng.randrange(2**31)) if rng.random() < 0.7 else draw(draw_view("base", rng, random_view))
    prompts = [draw_prompt("base", rng, text.instruct) for _ in range(max(1, diet.turns // 2))]
    return row([turn for prompt in prompts for turn in answered(prompt, diet, rng)], image)


def caption_row(rng: Random, seen: bool, length: int) -> Row:
    """What is in an image (or, not `seen`, in a list in words), told again and again in random order.

    After the first word of a group the others can only be known by looking them up, so nearly every
    second token teaches the model to look: in plain conversations it is one in ten, and models of
    this size then learn to answer well-formed and blind.
    """
    view = draw_view("base", rng)
    groups = _groups(view)
    if not seen and rng.random() < 0.4:
        count = rng.randint(2, 4)
        groups = list(zip(*(rng.sample(words, count) for words in (NAMES, ANIMALS, NUMBERS[:21])), strict=True))
    listed = "" if seen else "; ".join(" ".join(group) for group in rng.sample(groups, len(groups))) + ". "
    picture = [VOCABULARY[IMAGE]] * IMAGE_TOKENS if seen else []
    ids = [VOCABULARY[USER], *picture, *tokens(f"{listed}Describe it."), VOCABULARY[ASSISTANT]]
    labels = [IGNORED] * len(ids)
    shuffled = seen or rng.random() < 0.5
    while len(ids) < length:
        for group in rng.sample(groups, len(groups)):
            words = tokens(" ".join(rng.sample(group, len(group)) if shuffled else group))
            ids += [*words, VOCABULARY[","]]
            labels += [IGNORED, *words[1:], IGNORED]
    return Row(ids, labels, draw(view) if seen else None)


def _groups(view: View) -> list[tuple[str, ...]]:
    """The words that belong together in a view."""
    if isinstance(view, Scene):
        return [(thing.colour, thing.shape, thing.place) for thing in view.things]
    return [(bar.colour, str(bar.value)) for bar in view.bars]


def caption_batch(diet: DataMix, rng: Random, length: int = 90) -> Batch:
    """One step's captions, as many of images and in text as the diet has conversations."""
    rows = [caption_row(rng, True, length) for _ in range(diet.images)]
    return collate(rows + [caption_row(rng, False, length) for _ in range(diet.texts)])


def batch(diet: DataMix, rng: Random) -> Batch:
    """One step's conversations."""
    rows = [image_row(diet, rng) for _ in range(diet.images)] + [text_row(diet, rng) for _ in range(diet.texts)]
    return collate(rows)
