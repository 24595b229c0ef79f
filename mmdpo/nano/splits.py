"""Splits of the questions: training of the base models, preference data, and held-out benchmarks.

The split of a question is a hash of its content, so it needs no list and never changes. A question about an image
belongs to the split of its scene or chart, so no held-out image was used in training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random

from mmdpo.nano.words import BRIEF
from mmdpo.nano.world import View, random_view
from mmdpo.records import Prompt

SHARES = {"base": 0.6, "preference": 0.2, "dev": 0.08, "test": 0.12}
"""Shares of the splits among all contents."""


def content(prompt: Prompt) -> str:
    """Return the text that decides a prompt's split: its view or, without image, all its questions."""
    if "view" in prompt.facts:
        return str(prompt.facts["view"])
    earlier = [turn.question for turn in prompt.history]
    return " | ".join([*earlier, prompt.question.removesuffix(BRIEF).strip()])


def split_of(text: str) -> str:
    """Return the split of a content."""
    position = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    for split, share in SHARES.items():
        position -= share
        if position < 0:
            return split
    return "test"  # rounding


def check_split(split: str) -> None:
    """Raise ValueError if there is no such split."""
    if split not in SHARES:
        raise ValueError(f"no split {split!r}; there are {', '.join(SHARES)}")


def draw_view(split: str, rng: Random, make: Callable[[Random], View] = random_view) -> View:
    """Draw a random view of a split.

    Args:
        split: One of SHARES.
        rng: Source of randomness.
        make: Function that draws a view of any split.

    Returns:
        The first view of the split that is drawn.
    """
    while split_of(str(view := make(rng))) != split:
        pass
    return view


def draw_prompt(split: str, rng: Random, make: Callable[[Random], Prompt]) -> Prompt:
    """Draw a random prompt of a split.

    Args:
        split: One of SHARES.
        rng: Source of randomness.
        make: Function that draws a prompt of any split.

    Returns:
        The first prompt of the split that is drawn.
    """
    while split_of(content(prompt := make(rng))) != split:
        pass
    return prompt
