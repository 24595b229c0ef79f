"""The axes `data_limit`, `data_scale` and `label_noise`: nested subsets and flips in one seeded order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from mmdpo.records import LabelledAnswer, PreferencePair, SftExample

Example = TypeVar("Example", PreferencePair, SftExample, LabelledAnswer)
Labelled = TypeVar("Labelled", PreferencePair, LabelledAnswer)


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


def flip(examples: Sequence[Labelled], share: float, seed: int) -> list[Labelled]:
    """Return the examples with a share of them flipped; a larger share flips a superset.

    Args:
        examples: Pairs, whose answers are swapped, or answers, whose labels are changed.
        share: The share to flip, 0..1.
        seed: Seed of the choice.
    """
    ranked = sorted(examples, key=lambda example: _rank("flip", seed, example.id))
    flipped = {example.id for example in ranked[: round(share * len(examples))]}
    return [_flipped(example) if example.id in flipped else example for example in examples]


def _flipped(example: Any) -> Any:
    if isinstance(example, PreferencePair):
        return replace(example, chosen=example.rejected, rejected=example.chosen)
    return replace(example, label=not example.label)


def _rank(purpose: str, seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{purpose} {seed} {name}".encode()).digest()
