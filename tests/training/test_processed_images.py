"""Processed images: made once per batch, within a limit of memory."""

from __future__ import annotations

import pytest
import torch

from mmdpo.training.layout import PromptTokens
from mmdpo.training.processed_images import Processed, ProcessedImages

FLOATS = 4  # bytes each


def row(prompt: str, digest: str) -> dict[str, object]:
    return {"prompt": prompt, "digests": [digest]}


def made(value: float) -> Processed:
    return [PromptTokens([1])], {"pixel_values": torch.full((10,), value)}


@pytest.mark.parametrize("other", [[row("a", "2")], [row("b", "1")], [row("a", "1"), row("a", "1")]])
def test_a_batch_is_made_once_and_others_are_not_mistaken_for_it(other: list[dict[str, object]]) -> None:
    memory = ProcessedImages()
    first = memory.get_or_make([row("a", "1")], lambda: made(1.0))
    assert memory.get_or_make([row("a", "1")], lambda: pytest.fail("made again")) is first
    assert memory.get_or_make(other, lambda: made(2.0)) is not first


def test_a_full_memory_keeps_what_it_has() -> None:
    memory = ProcessedImages(10 * FLOATS)
    first = memory.get_or_make([row("a", "1")], lambda: made(1.0))
    second = memory.get_or_make([row("b", "1")], lambda: made(2.0))
    assert memory.get_or_make([row("b", "1")], lambda: made(2.0)) is not second
    assert memory.get_or_make([row("a", "1")], lambda: made(3.0)) is first
