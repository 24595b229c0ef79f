"""The share of a point's samples that one process answers: `bench.shard=K/N`."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` shares, counted from 1."""

    number: int
    count: int

    @property
    def label(self) -> str:
        """The share as a part of file names, such as 1-of-4."""
        return f"{self.number}-of-{self.count}"


def parse_shard(text: str | None) -> Shard | None:
    """Return the share that K/N names; None for no text. Raises ValueError for text that names no share."""
    if text is None:
        return None
    found = SHARD.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{text}: is no share; type K/N with K from 1 to N, as in 1/4")
    return Shard(int(found[1]), int(found[2]))
