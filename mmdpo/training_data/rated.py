"""The input of the training sets: each prompt with its completions and their ratings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mmdpo.records import Annotation, Completion, Prompt, Rating, quality


@dataclass(frozen=True)
class Rated:
    """A prompt, the texts of its completions, and one rating per text."""

    prompt: Prompt
    texts: Sequence[str]
    ratings: Sequence[Rating]

    def aggregate_scores(self, aggregate: Sequence[str]) -> list[int]:
        """Return the sum of the attributes in `aggregate` for each completion."""
        return [quality(rating, aggregate) for rating in self.ratings]


def rated(
    prompts: Iterable[Prompt], completions: Iterable[Completion], annotations: Iterable[Annotation]
) -> Iterator[Rated]:
    """Yield the prompts that were annotated, in the order of their completions.

    Args:
        prompts: All prompts.
        completions: Their completions, those of one prompt together.
        annotations: The ratings; a prompt without any is left out.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    ratings = {annotation.prompt_id: annotation.ratings for annotation in annotations}
    for prompt_id, group in groupby(completions, key=lambda completion: completion.prompt_id):
        if prompt_id in ratings:
            yield Rated(by_id[prompt_id], [completion.text for completion in group], ratings[prompt_id])
