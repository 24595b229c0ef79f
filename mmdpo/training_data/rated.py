"""The input of the training sets: each prompt with its completions and their ratings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mmdpo.records import CUT, Annotation, Completion, Prompt, Rating, quality


@dataclass(frozen=True)
class Rated:
    """A prompt with its rated completions.

    Attributes:
        prompt: The prompt.
        texts: The texts of its completions.
        ratings: One rating per text.
        cut: Whether the limit of tokens cut each of them; empty if none was cut.
        indices: The number of each completion among those of the prompt; empty if all are there.
    """

    prompt: Prompt
    texts: Sequence[str]
    ratings: Sequence[Rating]
    cut: Sequence[bool] = ()
    indices: Sequence[int] = ()

    def index(self, position: int) -> int:
        """Return the number of a completion among those of the prompt."""
        return self.indices[position] if self.indices else position

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
            given = list(group)
            cut = [completion.finish_reason == CUT for completion in given]
            yield Rated(by_id[prompt_id], [completion.text for completion in given], ratings[prompt_id], cut)


def without_cut(items: Iterable[Rated], least: int, counts: Counter[str]) -> Iterator[Rated]:
    """Yield the items without the completions that the limit of tokens cut.

    Args:
        items: Rated completions.
        least: The number of completions that an item needs.
        counts: Gets the number of cut completions, `cut_completions`, and that of the prompts that are left out because
            too few others remain, `cut`.
    """
    for item in items:
        if not any(item.cut):
            yield item
            continue
        kept = [position for position, cut in enumerate(item.cut) if not cut]
        counts["cut_completions"] += len(item.texts) - len(kept)
        if len(kept) < least:
            counts["cut"] += 1
            continue
        yield Rated(
            item.prompt,
            [item.texts[position] for position in kept],
            [item.ratings[position] for position in kept],
            indices=[item.index(position) for position in kept],
        )
