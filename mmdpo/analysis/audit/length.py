"""Length bias: the relation of ratings and answer length among answers to the same question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.audit.estimates import CORRELATION, correlation, estimate_of, slope

if TYPE_CHECKING:
    from mmdpo.evaluation.crossed import Estimate

ROUNDS = 50


@dataclass(frozen=True)
class LengthBias:
    """The relation of a rating with the length of the answer.

    Attributes:
        correlation: The correlation of the rating with the logarithm of the number of words.
        per_doubling: The change of the rating per doubling of the number of words.
    """

    correlation: Estimate
    per_doubling: Estimate


def length_bias(
    ratings: Sequence[float],
    words: Sequence[int],
    items: Sequence[str],
    confidence: float,
    others: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
) -> LengthBias | None:
    """Estimate the relation of ratings with length among answers to the same question.

    What questions have in common is removed: that a question has long answers and high ratings says nothing.

    Args:
        ratings: The rating of each answer.
        words: The number of words of each answer.
        items: The question of each answer.
        confidence: The level of the intervals.
        others: A second grouping whose means are removed as well, such as the model that answered.
        clusters: The clusters that the interval is over; None for the questions.

    Returns:
        The relation; None if no question has answers of different lengths and ratings.
    """
    import numpy as np

    if not ratings:
        return None
    groups = [items] if others is None else [items, others]
    length = centred(np.log2(np.asarray(words, dtype=float) + 1), groups)
    rating = centred(np.asarray(ratings, dtype=float), groups)
    names = items if clusters is None else clusters
    related = estimate_of([length, rating], names, confidence, correlation, CORRELATION)
    change = estimate_of([length, rating], names, confidence, slope)
    return None if related is None or change is None else LengthBias(related, change)


def centred(values: Any, groups: Sequence[Sequence[str]]) -> Any:
    """Subtract the means of one grouping of values [N], or of two together, from them."""
    import numpy as np

    codes = [np.unique(np.asarray(names), return_inverse=True)[1] for names in groups]
    rest = values.copy()
    for _ in range(ROUNDS if len(codes) > 1 else 1):  # alternating: exact at once where every group meets every other
        before = rest
        for code in codes:
            rest = rest - (np.bincount(code, rest) / np.bincount(code))[code]
        if np.abs(rest - before).max(initial=0) < 1e-12:
            break
    return np.where(np.abs(rest) < 1e-9, 0.0, rest)
