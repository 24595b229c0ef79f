"""Examples that a point trains on: limit, share of the data, and share of text-only examples (`data.text_share`).

Without `data.text_share` the examples are taken as they come. With it, their total is `data_limit` or else the number
of examples with images, times `data_scale`, whatever the share: points of different shares train on equally many
examples. Both kinds are taken from one seeded order each. A larger share or total takes a superset of text-only
examples, and a smaller share a superset of those with images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmdpo.errors import UserError
from mmdpo.training_data.subset import Example, limited, subset


@dataclass(frozen=True)
class Selection:
    """Settings that select examples.

    Attributes:
        seed: Seed of the order.
        limit: `data_limit`; None for all.
        scale: `data_scale`.
        text_share: `data.text_share`; None to take the examples as they come.
    """

    seed: int
    limit: int | None = None
    scale: float = 1.0
    text_share: float | None = None

    def total(self, examples: Sequence[Example]) -> int:
        """Return the number of examples of which `scale` is a share."""
        if self.text_share is None:
            return len(examples) if self.limit is None else min(self.limit, len(examples))
        return len(_with_images(examples)) if self.limit is None else self.limit

    def candidates(self, examples: Sequence[Example]) -> list[Example]:
        """Return the examples that any `scale` and any `text_share` may select, in the seeded order."""
        if self.text_share is None:
            return limited(examples, self.limit, self.seed)
        total = self.total(examples)
        both = self._first(_text_only(examples), total) + self._first(_with_images(examples), total)
        return limited(both, None, self.seed)

    def select(self, examples: Sequence[Example]) -> list[Example]:
        """Return the selected ones of all examples or of `candidates`, in the seeded order."""
        if self.text_share is None:
            return subset(limited(examples, self.limit, self.seed), self.scale, self.seed)
        count = round(self.scale * self.total(examples))
        text = round(self.text_share * count)
        both = self._first(_text_only(examples), text) + self._first(_with_images(examples), count - text)
        return limited(both, None, self.seed)

    def check(self, examples: Sequence[Example], more_text: str) -> None:
        """Raise UserError if the examples cannot give the share of text-only ones.

        Args:
            examples: All examples.
            more_text: Advice how to get more text-only examples, with what to type.
        """
        if self.text_share is None:
            return
        total, given = self.total(examples), (len(_text_only(examples)), len(_with_images(examples)))
        share = f"data.text_share={self.text_share:g}"
        have = f"there are {given[0]} text-only examples and {given[1]} with images"
        if not total:
            raise UserError(f"{share}: {have}; type data_limit= for their total, or drop data.text_share")
        if not self._fits(total, given):
            mixed = (count for count in range(total, 0, -1) if self._fits(count, given) and self._is_mixed(count))
            most = next(mixed, 0)
            lower = f"type data_limit={most} for all shares that you compare, or " if most else ""
            text = round(self.text_share * total)
            raise UserError(f"{share}: of {total} examples {text} are text-only, but {have}; {lower}{more_text}")
        count = round(self.scale * total)
        text = round(self.text_share * count)
        if self.text_share and not text:
            raise UserError(f"{share}: makes none of {count} examples text-only; type a larger data.text_share= or 0")
        if self.text_share < 1 and text == count:
            raise UserError(f"{share}: makes all of {count} examples text-only; type a smaller data.text_share= or 1")

    def _fits(self, count: int, given: tuple[int, int]) -> bool:
        text = round((self.text_share or 0) * count)
        return text <= given[0] and count - text <= given[1]

    def _is_mixed(self, count: int) -> bool:
        """Return whether a number of examples has both kinds, if the share asks for both."""
        share = self.text_share or 0
        return share in (0, 1) or 0 < round(share * count) < count

    def _first(self, examples: Sequence[Example], count: int) -> list[Example]:
        return limited(examples, count, self.seed)


def count_text_only(examples: Sequence[Example]) -> int:
    """Return the number of examples without images."""
    return len(_text_only(examples))


def _text_only(examples: Sequence[Example]) -> list[Example]:
    return [one for one in examples if not one.images]


def _with_images(examples: Sequence[Example]) -> list[Example]:
    return [one for one in examples if one.images]
