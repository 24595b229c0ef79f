"""Preference pairs from rated completions (paper, 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from mmdpo.config.choices import PairRule
from mmdpo.config.schema import PairsConfig
from mmdpo.records import PreferencePair
from mmdpo.training_data.rated import Rated


def make_pairs(items: Iterable[Rated], rule: PairsConfig, seed: int, counts: Counter[str]) -> Iterator[PreferencePair]:
    """The pairs of each prompt: one at most, but for `pairs.rule=all`.

    `counts` gets the prompts without a pair: `tied` where all completions are worth the same, else
    `too_close`. A prompt with several pairs numbers them by their completions.
    """
    for item in items:
        prompt, worths = item.prompt, item.worths(rule.aggregate)
        picked = pick(worths, rule, Random(f"{seed} {prompt.id}"))
        if not picked:
            counts["tied" if len(set(worths)) == 1 else "too_close"] += 1
        for chosen, rejected in picked:
            name = f"{prompt.id}-{chosen}-{rejected}" if rule.rule is PairRule.all else prompt.id
            texts = item.texts[chosen], item.texts[rejected]
            yield PreferencePair(name, prompt.question, *texts, prompt.image, prompt.history)


def pick(worths: Sequence[int], rule: PairsConfig, rng: Random) -> list[tuple[int, int]]:
    """The places of chosen and rejected, `rule.margin` apart at least.

    random_worse, the paper's: the best and a random one of those far enough below it; best_worst: the
    best and the worst; all: every two that are far enough apart. Of equals the first is taken.
    """
    places = range(len(worths))
    if rule.rule is PairRule.all:
        return [(one, other) for one in places for other in places if worths[one] - worths[other] >= rule.margin]
    best = max(places, key=lambda place: worths[place])
    worse = [place for place in places if worths[best] - worths[place] >= rule.margin]
    if not worse:
        return []
    if rule.rule is PairRule.best_worst:
        return [(best, min(worse, key=lambda place: worths[place]))]
    return [(best, rng.choice(worse))]
