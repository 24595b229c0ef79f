"""The axes `data_limit`, `data_scale` and `label_noise`: nested subsets and flips in one seeded order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mmdpo.records import PreferencePair, SftExample

Example = TypeVar("Example", PreferencePair, SftExample)


def limited(examples: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """Return the first `limit` examples in a seeded order, or all of them; a larger limit contains a smaller one.

    Args:
        examples: All examples.
        limit: Number of examples; None for all.
        seed: Seed of the order.
    """
    return sorted(examples, key=lambda example: _rank("subset", seed, example.id))[:limit]


def subset(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """Return the first `share` (0..1) of the examples in the order of `limited`; a larger share contains a smaller one.

    Args:
        examples: All examples.
        share: The share to take.
        seed: Seed of the order.
    """
    return limited(examples, round(share * len(examples)), seed)


def flip(pairs: Sequence[PreferencePair], share: float, seed: int) -> list[PreferencePair]:
    """Return the pairs with the answers of a share of them swapped; a larger share flips a superset.

    Args:
        pairs: All pairs.
        share: The share to flip, 0..1.
        seed: Seed of the choice.
    """
    ranked = sorted(pairs, key=lambda pair: _rank("flip", seed, pair.id))
    flipped = {pair.id for pair in ranked[: round(share * len(pairs))]}
    return [replace(pair, chosen=pair.rejected, rejected=pair.chosen) if pair.id in flipped else pair for pair in pairs]


def _rank(purpose: str, seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{purpose} {seed} {name}".encode()).digest()
