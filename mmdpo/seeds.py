"""Seeds that belong to single items and do not depend on the order of work."""

from __future__ import annotations

import hashlib


def answer_seed(seed: int, prompt_id: str, index: int) -> int:
    """Derive the seed of one answer from the seed of the run.

    Args:
        seed: The seed of the run.
        prompt_id: The id of the prompt.
        index: The number of the answer to this prompt, from 0.

    Returns:
        A seed of 63 bits, the size that torch accepts.
    """
    return hashed_number(f"{seed} {prompt_id} {index}") >> 1


def round_seed(seed: int, number: int) -> int:
    """Derive the seed of a later round's completions from the seed of the first round.

    Args:
        seed: The seed of the first round.
        number: The number of the round, from 2.

    Returns:
        A seed of 32 bits, the size of `data.seed`.
    """
    return hashed_number(f"round {number} of {seed}") >> 32


def hashed_number(text: str) -> int:
    """Return a number of 64 bits that a text determines, and that looks drawn at random."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
