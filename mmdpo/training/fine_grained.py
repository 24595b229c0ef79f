"""RLHF-V's token weights: an answer counts most where it differs from the other (arXiv 2312.00849, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher


def token_weights(
    chosen: Sequence[int], rejected: Sequence[int], weight: float, average: bool
) -> tuple[list[float], list[float]]:
    """Weights of the tokens of both answers: `weight` on the spans that differ, 1 on the common ones.

    RLHF-V scores an answer as sum(w log p) / sum(w). Losses divide by the number of tokens T where they
    average, so the weights are then scaled to sum to T; where they sum, they are left as they are. A
    weight of 1 is plain DPO either way.
    """
    matcher = SequenceMatcher(None, list(chosen), list(rejected), autojunk=False)
    weights = [weight] * len(chosen), [weight] * len(rejected)
    for start, other, size in matcher.get_matching_blocks():
        weights[0][start : start + size] = [1.0] * size
        weights[1][other : other + size] = [1.0] * size
    return (_scaled(weights[0]), _scaled(weights[1])) if average else weights


def _scaled(weights: list[float]) -> list[float]:
    scale = len(weights) / sum(weights)
    return [value * scale for value in weights]
