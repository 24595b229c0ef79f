"""Preference pairs from rated completions (paper, 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from mmdpo.config.choices import PairRule
from mmdpo.config.schema import PairsConfig
from mmdpo.records import PreferencePair, context
from mmdpo.training_data.rated import Rated


def make_pairs(
    items: Iterable[Rated], config: PairsConfig, aggregate: Sequence[str], seed: int, counts: Counter[str]
) -> Iterator[PreferencePair]:
    """Yield the pairs of each prompt: at most one, except with `pairs.rule=all`.

    Args:
        items: Rated completions.
        config: Rule and margin.
        aggregate: The attributes whose sum ranks completions.
        seed: Seed of the random choice.
        counts: Gets the number of prompts without a pair: `tied` if all completions have the same score, or else
            `too_close`. A prompt with several pairs numbers them by their completions.
    """
    for item in items:
        prompt, scores = item.prompt, item.aggregate_scores(aggregate)
        picked = pick(scores, config, Random(f"{seed} {prompt.id}"))
        if not picked:
            counts["tied" if len(set(scores)) == 1 else "too_close"] += 1
        for chosen, rejected in picked:
            numbers = f"-{item.index(chosen)}-{item.index(rejected)}" if config.rule is PairRule.all else ""
            texts = item.texts[chosen], item.texts[rejected]
            yield PreferencePair(f"{prompt.id}{numbers}", prompt.question, *texts, **context(prompt))


def pick(scores: Sequence[int], config: PairsConfig, rng: Random) -> list[tuple[int, int]]:
    """Choose pairs of completions whose scores are at least `config.margin` apart.

    The rules: `random_worse` (the paper's) takes the best and a random one of those far enough below it;
    `best_worst` takes the best and the worst; `all` takes every two that are far enough apart. Of equal
    completions the first is taken.

    Args:
        scores: One per completion.
        config: Rule and margin.
        rng: Source of the random choice.

    Returns:
        The indices of chosen and rejected completions.
    """
    indices = range(len(scores))
    if config.rule is PairRule.all:
        return [(one, other) for one in indices for other in indices if scores[one] - scores[other] >= config.margin]
    best = max(indices, key=lambda index: scores[index])
    worse = [index for index in indices if scores[best] - scores[index] >= config.margin]
    if not worse:
        return []
    if config.rule is PairRule.best_worst:
        return [(best, min(worse, key=lambda index: scores[index]))]
    return [(best, rng.choice(worse))]
