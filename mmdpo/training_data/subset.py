"""The axes `data_limit`, `data_scale` and `label_noise`: nested subsets and flips of one seeded order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mmdpo.records import PreferencePair, SftExample

Example = TypeVar("Example", PreferencePair, SftExample)


def limited(examples: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """The first `limit` examples in a seeded order, all without a limit: 500 lie inside 1000."""
    return sorted(examples, key=lambda example: _rank("subset", seed, example.id))[:limit]


def subset(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """The first `share` of the examples in the same order: 25 % lies inside 50 %."""
    return limited(examples, round(share * len(examples)), seed)


def flip(pairs: Sequence[PreferencePair], share: float, seed: int) -> list[PreferencePair]:
    """The pairs, `share` of them with their answers swapped; a larger share flips these and more."""
    ranked = sorted(pairs, key=lambda pair: _rank("flip", seed, pair.id))
    flipped = {pair.id for pair in ranked[: round(share * len(pairs))]}
    return [replace(pair, chosen=pair.rejected, rejected=pair.chosen) if pair.id in flipped else pair for pair in pairs]


def _rank(what: str, seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{what} {seed} {name}".encode()).digest()
