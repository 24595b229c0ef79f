"""Questions about the same images: image and common beginning are computed once, and the questions side by side.

All questions of a group stand in one row after their common beginning. A mask lets each see the beginning and itself
alone, and its positions continue those of the beginning (tree attention, https://arxiv.org/abs/2305.09781).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from mmdpo.models.generate import processed
from mmdpo.models.key_values import KeyValues, new_cache
from mmdpo.models.messages import IMAGE_TOKEN
from mmdpo.records import Prompt


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt that is ready to be processed.

    Attributes:
        prompt: The prompt.
        text: The prompt as the chat template renders it.
        ids: Its tokens, with one placeholder per image.
    """

    prompt: Prompt
    text: str
    ids: list[int]


class PromptTree:
    """Keys and values of a common beginning and the questions that continue it, in one row.

    Attributes:
        logits: Logits of the first token of each answer [B, V].
    """

    def __init__(self, model: Any, beginning: torch.Tensor, tails: Sequence[Sequence[int]], images: Any) -> None:
        """Compute keys and values.

        Args:
            model: The model.
            beginning: Tokens of the common beginning [N].
            tails: Tokens of each question after the beginning, at least one each.
            images: The processor's tensors of the images.
        """
        self._model, self._cache = model, new_cache(model)
        device, length = beginning.device, len(beginning)
        self._branches = torch.zeros(0, dtype=torch.long, device=device)
        self._lengths = torch.tensor([length + len(tail) for tail in tails], device=device)
        ends = torch.tensor([len(tail) for tail in tails], device=device).cumsum(0) + length - 1
        tokens = torch.tensor([token for tail in tails for token in tail], device=device)
        branches = [0] * length + [number for number, tail in enumerate(tails, 1) for _ in tail]
        positions = [*range(length), *(length + place for tail in tails for place in range(len(tail)))]
        self.logits = self._forward(
            torch.cat([beginning, tokens]),
            torch.tensor(branches, device=device),
            torch.tensor(positions, device=device),
            ends,
            images,
        )

    def next_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to every question, [B], and return the logits of the next tokens, [B, V]."""
        branches = torch.arange(1, len(tokens) + 1, device=tokens.device)
        positions, self._lengths = self._lengths, self._lengths + 1
        return self._forward(tokens, branches, positions, torch.arange(len(tokens), device=tokens.device), {})

    def split(self) -> KeyValues:
        """Return keys and values with one row per question."""
        columns = [
            ((self._branches == 0) | (self._branches == number)).nonzero()[:, 0]
            for number in range(1, len(self._lengths) + 1)
        ]
        longest = max(map(len, columns))
        indices = torch.stack([torch.nn.functional.pad(one, (longest - len(one), 0)) for one in columns])
        mask = torch.stack([torch.arange(longest, device=one.device) >= longest - len(one) for one in columns])
        cache = DynamicCache()
        for number, layer in enumerate(self._cache.layers):
            cache.update(*(tensor[0][:, indices].transpose(0, 1) for tensor in (layer.keys, layer.values)), number)
        return KeyValues(cache, mask.long())

    def _forward(
        self, tokens: torch.Tensor, branches: torch.Tensor, positions: torch.Tensor, kept: torch.Tensor, images: Any
    ) -> torch.Tensor:
        """Add tokens to the row and return the logits at those to keep."""
        before = len(self._branches)
        self._branches = torch.cat([self._branches, branches])
        order = torch.arange(len(self._branches), device=tokens.device)
        visible = (order <= order[before:, None]) & ((self._branches == 0) | (self._branches == branches[:, None]))
        dtype = self._model.dtype
        bias = torch.zeros(visible.shape, dtype=dtype, device=tokens.device)
        with torch.inference_mode():
            output = self._model(
                input_ids=tokens[None],
                attention_mask=bias.masked_fill(~visible, torch.finfo(dtype).min)[None, None],
                position_ids=positions[None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=kept,
                **images,
            )
        logits: torch.Tensor = output.logits[0]
        return logits


def common_beginning(processor: Any, group: Sequence[TokenizedPrompt]) -> int:
    """Return the number of tokens that all prompts begin with; 0 if a placeholder stands after them.

    Each prompt keeps at least one token of its own. Placeholders count as one token each.
    """
    token = processor.tokenizer.convert_tokens_to_ids(getattr(processor, "image_token", IMAGE_TOKEN))
    shortest = min(len(one.ids) for one in group)
    length = min(len(os.path.commonprefix([one.ids for one in group])), shortest - 1)  # noqa: RUF071 (tokens)
    return 0 if any(token in one.ids[length:] for one in group) else length


def prompt_tree(model: Any, processor: Any, group: Sequence[TokenizedPrompt], image_root: Path) -> PromptTree | None:
    """Compute keys and values of prompts with the same images.

    Args:
        model: The model.
        processor: Its processor.
        group: Prompts with the same images.
        image_root: Folder of the images.

    Returns:
        The tree; None if the prompts do not have their images in common tokens.
    """
    length = common_beginning(processor, group)
    if not length:
        return None
    first = group[0]
    inputs = processed(model, processor, [first.prompt], [first.text], image_root)
    tails = [one.ids[length:] for one in group]
    ids = inputs["input_ids"][0]
    if ids[-len(tails[0]) :].tolist() != tails[0]:
        return None  # the processor tokenizes what follows the images in another way
    images = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    return PromptTree(model, ids[: -len(tails[0])], tails, images)
