"""Processed prompts and images of batches, kept in memory for the next training on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmdpo.training.layout import PromptTokens

if TYPE_CHECKING:
    import torch

    from mmdpo.training.rows import Row

Processed = tuple[list[PromptTokens], "dict[str, torch.Tensor]"]
"""Prompts with their images' tokens, and the image tensors by name."""

MAX_BYTES = 1 << 28
"""The largest size of the tensors: about 200 images of LLaVA-1.5, or all of the miniature."""


class ProcessedImages:
    """Memory of what a processor made of batches of prompts with images.

    The points of a sweep with one seed have the same batches. When the memory is full, later batches are processed
    each time: all batches come equally often, so replacing the first ones would keep none until it comes again.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """Start empty; the tensors take at most `max_bytes`."""
        self._left = max_bytes
        self._known: dict[tuple[tuple[str, tuple[str, ...]], ...], Processed] = {}

    def get_or_make(self, rows: Sequence[Row], make: Callable[[], Processed]) -> Processed:
        """Return the prompts and image tensors of a batch, which the caller must not change.

        Args:
            rows: The rows whose prompts and images are processed.
            make: Processes them.
        """
        key = tuple((row["prompt"], tuple(row["digests"])) for row in rows)
        found = self._known.get(key)
        if found is None:
            found = make()
            size = sum(value.numel() * value.element_size() for value in found[1].values())
            if size <= self._left:
                self._left -= size
                self._known[key] = found
        return found
