"""Rejection sampling: plain SFT on the model's own completion with the best rating (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mmdpo.records import SftExample, context
from mmdpo.training_data.rated import Rated


def best_completions(items: Iterable[Rated], aggregate: Sequence[str]) -> Iterator[SftExample]:
    """Yield the completion of each prompt with the highest score; of equal ones the first.

    `aggregate` names the attributes that are summed.
    """
    for item in items:
        scores = item.aggregate_scores(aggregate)
        prompt, best = item.prompt, scores.index(max(scores))
        text, rating = item.texts[best], item.ratings[best]
        yield SftExample(prompt.id, prompt.question, text, rating=rating, **context(prompt))
