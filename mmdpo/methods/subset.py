"""The axes `data_scale` and `label_noise`: nested subsets and nested flips of one seeded order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from mmdpo.records import PreferencePair


def subset(pairs: Sequence[PreferencePair], share: float, seed: int) -> list[PreferencePair]:
    """The first `share` of the pairs in a seeded order: 25 % lies inside 50 %."""
    return sorted(pairs, key=lambda pair: _rank("subset", seed, pair))[: round(share * len(pairs))]


def flip(pairs: Sequence[PreferencePair], share: float, seed: int) -> list[PreferencePair]:
    """The pairs, `share` of them with their answers swapped; a larger share flips these and more."""
    ranked = sorted(pairs, key=lambda pair: _rank("flip", seed, pair))
    flipped = {pair.id for pair in ranked[: round(share * len(pairs))]}
    return [
        replace(pair, chosen=pair.rejected, rejected=pair.chosen) if pair.id in flipped else pair
        for pair in pairs
    ]


def _rank(what: str, seed: int, pair: PreferencePair) -> bytes:
    return hashlib.sha256(f"{what} {seed} {pair.id}".encode()).digest()
