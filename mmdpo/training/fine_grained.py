"""Token weights of RLHF-V, which stress the differences between two answers (arXiv 2312.00849, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher


def token_weights(
    chosen: Sequence[int], rejected: Sequence[int], weight: float, average: bool
) -> tuple[list[float], list[float]]:
    """Weigh the tokens of two answers: `weight` in the spans that differ, 1 in those that they share.

    RLHF-V scores an answer by sum(w log p) / sum(w). A loss that averages divides by the number of tokens T, so the
    weights are scaled to sum to T for it; for a loss that sums they stay unchanged. With a weight of 1 both
    are plain DPO.

    Args:
        chosen: Token ids of the chosen answer.
        rejected: Token ids of the rejected answer.
        weight: Weight of a token that differs.
        average: Whether the loss averages log-probs over tokens.

    Returns:
        The weights of the chosen and of the rejected answer's tokens.
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
