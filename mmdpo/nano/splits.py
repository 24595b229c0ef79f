"""Which questions may train the base models, which make preferences, and which are held out.

The split of a question is a hash of its content, so it needs no list and never moves. A question
about an image goes where its scene or chart goes: no held-out image was ever seen in training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random

from mmdpo.nano.words import BRIEF
from mmdpo.nano.world import View, random_view
from mmdpo.records import Prompt

SHARES = {"base": 0.6, "preference": 0.2, "dev": 0.08, "test": 0.12}


def content(prompt: Prompt) -> str:
    """What decides the split: the view where there is one, else the question and what went before it."""
    if "view" in prompt.facts:
        return str(prompt.facts["view"])
    earlier = [turn.question for turn in prompt.history]
    return " | ".join([*earlier, prompt.question.removesuffix(BRIEF).strip()])


def split_of(text: str) -> str:
    """The split that a content belongs to."""
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    for split, share in SHARES.items():
        place -= share
        if place < 0:
            return split
    return "test"  # rounding


def check_split(split: str) -> None:
    """Raise ValueError for a split that does not exist."""
    if split not in SHARES:
        raise ValueError(f"no split {split!r}; there are {', '.join(SHARES)}")


def draw_view(split: str, rng: Random, make: Callable[[Random], View] = random_view) -> View:
    """A random view of the split."""
    while split_of(str(view := make(rng))) != split:
        pass
    return view


def draw_prompt(split: str, rng: Random, make: Callable[[Random], Prompt]) -> Prompt:
    """A random prompt of the split."""
    while split_of(content(prompt := make(rng))) != split:
        pass
    return prompt
