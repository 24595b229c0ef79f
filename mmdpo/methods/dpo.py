"""Preference pairs from rated completions (paper, 3.2).

The paper's pair rule: chosen is the completion with the highest helpfulness + correctness +
coherence, rejected a random one of those at least `margin` points below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from mmdpo.methods.rated import Rated
from mmdpo.records import PreferencePair


def make_pairs(items: Iterable[Rated], margin: int, seed: int) -> Iterator[PreferencePair]:
    """At most one pair a prompt; a prompt whose completions are too close yields none."""
    for item in items:
        prompt = item.prompt
        picked = pick(item.merits, margin, Random(f"{seed} {prompt.id}"))
        if picked:
            chosen, rejected = (item.texts[index] for index in picked)
            yield PreferencePair(prompt.id, prompt.question, chosen, rejected, prompt.image, prompt.history)


def pick(merits: Sequence[int], margin: int, rng: Random) -> tuple[int, int] | None:
    """The indices of chosen and rejected, or None. Of equal best completions the first is chosen."""
    best = max(range(len(merits)), key=lambda index: merits[index])
    worse = [index for index, merit in enumerate(merits) if merit <= merits[best] - margin]
    return (best, rng.choice(worse)) if worse else None
