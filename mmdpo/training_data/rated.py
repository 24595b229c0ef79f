"""What training sets are made of: each prompt with its completions and their ratings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mmdpo.records import Annotation, Completion, Prompt, Rating


@dataclass(frozen=True)
class Rated:
    """A prompt, its completions' texts, and a rating each, in one order."""

    prompt: Prompt
    texts: Sequence[str]
    ratings: Sequence[Rating]

    @property
    def merits(self) -> list[int]:
        """Helpfulness + correctness + coherence of each completion, 0..12."""
        return [rating.merit for rating in self.ratings]

    def worths(self, attributes: Sequence[str]) -> list[int]:
        """The sum of these attributes of each completion."""
        return [sum(getattr(rating, name) for name in attributes) for rating in self.ratings]


def rated(
    prompts: Iterable[Prompt], completions: Iterable[Completion], annotations: Iterable[Annotation]
) -> Iterator[Rated]:
    """The prompts that were annotated, in the order of their completions."""
    by_id = {prompt.id: prompt for prompt in prompts}
    ratings = {annotation.prompt_id: annotation.ratings for annotation in annotations}
    for prompt_id, group in groupby(completions, key=lambda completion: completion.prompt_id):
        if prompt_id in ratings:
            yield Rated(by_id[prompt_id], [completion.text for completion in group], ratings[prompt_id])
