"""Preference pairs from rated completions (paper, 3.2).

The paper's pair rule: chosen is the completion with the highest helpfulness + correctness +
coherence, rejected a random one of those at least `margin` points below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from random import Random

from mmdpo.records import Annotation, Completion, PreferencePair, Prompt


def make_pairs(
    prompts: Iterable[Prompt],
    completions: Sequence[Completion],
    annotations: Sequence[Annotation],
    margin: int,
    seed: int,
) -> list[PreferencePair]:
    """At most one pair a prompt; a prompt whose completions are too close yields none."""
    by_id = {prompt.id: prompt for prompt in prompts}
    ratings = {annotation.prompt_id: annotation.ratings for annotation in annotations}
    pairs = []
    for prompt_id, group in groupby(completions, key=lambda completion: completion.prompt_id):
        if prompt_id in ratings:
            merits = [rating.merit for rating in ratings[prompt_id]]
            picked = pick(merits, margin, Random(f"{seed} {prompt_id}"))
            if picked:
                texts = [completion.text for completion in group]
                prompt = by_id[prompt_id]
                chosen, rejected = (texts[index] for index in picked)
                pairs.append(
                    PreferencePair(prompt_id, prompt.question, chosen, rejected, prompt.image, prompt.history)
                )
    return pairs


def pick(merits: Sequence[int], margin: int, rng: Random) -> tuple[int, int] | None:
    """The indices of chosen and rejected, or None. Of equal best completions the first is chosen."""
    best = max(range(len(merits)), key=lambda index: merits[index])
    worse = [index for index, merit in enumerate(merits) if merit <= merits[best] - margin]
    return (best, rng.choice(worse)) if worse else None
