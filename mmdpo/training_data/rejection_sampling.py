"""Rejection sampling: plain SFT on the best rated of the model's own completions (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmdpo.records import SftExample
from mmdpo.training_data.rated import Rated


def best_completions(items: Iterable[Rated]) -> Iterator[SftExample]:
    """The completion of each prompt with the highest merit (Rating.merit); of equals the first."""
    for item in items:
        prompt, best = item.prompt, item.merits.index(max(item.merits))
        text, rating = item.texts[best], item.ratings[best]
        yield SftExample(prompt.id, prompt.question, text, prompt.image, prompt.history, rating)
