"""Seeds that belong to one thing, whatever is made before or beside it."""

from __future__ import annotations

import hashlib


def answer_seed(seed: int, prompt_id: str, index: int) -> int:
    """The seed of one answer to a prompt, of 63 bits, as torch takes them."""
    digest = hashlib.sha256(f"{seed} {prompt_id} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
