"""Keys and values of several conversations of different lengths, which grow and shrink as answers begin and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Tokens by which the memory of keys and values grows."""


class GrowingLayer(DynamicLayer):
    """Keys and values of a layer with room for more, so that a token is added without a copy of all others."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        """Copy keys and values, [B, heads, T, width], or some rows of them."""
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._copy(keys, values, rows)

    def _copy(self, keys: torch.Tensor, values: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        length, count = keys.shape[-2], len(keys if rows is None else rows)
        self._stores = [
            tensor.new_empty((count, tensor.shape[1], length + ROOM, tensor.shape[3])) for tensor in (keys, values)
        ]
        for store, tensor in zip(self._stores, (keys, values), strict=True):
            if rows is None:
                store[:, :, :length] = tensor
            else:
                torch.index_select(tensor, 0, rows, out=store[:, :, :length])
        self.keys, self.values = (store[:, :, :length] for store in self._stores)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add keys and values, and return all of them."""
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._stores[0].shape[-2]:
            self._copy(self.keys, self.values)
        for store, added in zip(self._stores, (key_states, value_states), strict=True):
            store[:, :, start:end] = added
        self.keys, self.values = (store[:, :, :end] for store in self._stores)
        return self.keys, self.values


class KeyValues:
    """Keys and values of B conversations, padded on the left to the length of the longest.

    Attributes:
        cache: The keys and values of each layer, [B, heads, T, width].
        mask: 1 for tokens and 0 for padding, [B, T].
    """

    def __init__(self, cache: DynamicCache, mask: torch.Tensor) -> None:
        """Take a cache and its mask."""
        self.cache, self.mask = cache, mask

    def append(self, others: Sequence[KeyValues]) -> None:
        """Add the conversations of other objects as last rows."""
        masks = [one.mask for one in (self, *others)]
        length = max(mask.shape[1] for mask in masks)

        def joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
            return torch.cat([pad(tensor, (0, 0, length - tensor.shape[-2], 0)) for tensor in tensors])

        for number, layers in enumerate(zip(*(one.cache.layers for one in (self, *others)), strict=True)):
            self.cache.layers[number] = GrowingLayer(
                joined([layer.keys for layer in layers]), joined([layer.values for layer in layers])
            )
        self.mask = torch.cat([pad(mask, (length - mask.shape[1], 0)) for mask in masks])

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows, and the columns at the left that are padding of every remaining row."""
        kept = torch.tensor(rows, device=self.mask.device)
        mask = self.mask[kept]
        start = mask.shape[1] - int(mask.sum(dim=1).max())
        self.mask = mask[:, start:]
        for number, layer in enumerate(self.cache.layers):
            self.cache.layers[number] = GrowingLayer(layer.keys[:, :, start:], layer.values[:, :, start:], kept)

    def next_logits(self, model: Any, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to every conversation.

        Args:
            model: The model.
            tokens: The tokens [B].

        Returns:
            Logits of the next tokens [B, V].
        """
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        with torch.inference_mode():
            output = model(
                input_ids=tokens[:, None],
                attention_mask=self.mask,
                position_ids=self.mask.sum(dim=1, keepdim=True) - 1,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def prefill(model: Any, inputs: Mapping[str, torch.Tensor]) -> tuple[KeyValues, torch.Tensor]:
    """Compute the keys and values of prompts.

    Args:
        model: The model.
        inputs: Tensors of B prompts, padded on the left: `input_ids` and `attention_mask` [B, T], and the images'.

    Returns:
        The keys and values, and the logits of each first token of the answers [B, V].
    """
    mask = inputs["attention_mask"]
    cache = new_cache(model)
    with torch.inference_mode():
        output = model(
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),  # as `generate` counts them
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **inputs,
        )
    return KeyValues(cache, mask), output.logits[:, -1]


def new_cache(model: Any) -> DynamicCache:
    """Return an empty cache for the model's language model."""
    return DynamicCache(config=model.config.get_text_config())
