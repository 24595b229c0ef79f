"""Tests whether a model's answers stay the same when questions share an image, and when batches refill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from mmdpo.errors import UserError
from mmdpo.models.generate import processed
from mmdpo.models.image_groups import TokenizedPrompt, prompt_tree
from mmdpo.models.key_values import new_cache, prefill
from mmdpo.models.prefix import difference
from mmdpo.records import Prompt

GREEDY_KEYS = frozenset(
    (
        *("eos_token_id", "pad_token_id", "bos_token_id", "max_length", "max_new_tokens", "use_cache"),
        *("do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "transformers_version"),
        *("output_attentions", "output_hidden_states", "cache_implementation", "return_dict_in_generate"),
    )
)
"""Keys of a generation config that change no logits in greedy search."""


def reason_against_refill(model: Any, processor: Any, pair: Sequence[TokenizedPrompt], image_root: Path) -> str | None:
    """Test whether a model's prompts may be computed alone and continued in a batch.

    Args:
        model: The model.
        processor: Its processor.
        pair: Two prompts of different lengths.
        image_root: Folder of the images.

    Returns:
        The reason why not, or None if they may.
    """
    if keys := sorted(
        key for key in model.generation_config.to_diff_dict() if key not in GREEDY_KEYS and not key.startswith("_")
    ):
        return f"generation_config.json sets {', '.join(keys)}"
    if any(type(layer) is not DynamicLayer for layer in new_cache(model).layers):
        return "not all its layers attend to the whole prompt"

    def continued(tokens: torch.Tensor) -> torch.Tensor:
        (keys, first), (others, second) = (
            prefill(model, processed(model, processor, [one.prompt], [one.text], image_root)) for one in pair
        )
        keys.append([others])
        return torch.stack([torch.cat([first, second]), keys.next_logits(model, tokens)], dim=1)

    return _difference(model, processor, pair, image_root, continued)


def reason_against_tree(model: Any, processor: Any, pair: Sequence[TokenizedPrompt], image_root: Path) -> str | None:
    """Test whether a model's questions about one image may be computed side by side, and continued alone.

    Args:
        model: The model.
        processor: Its processor.
        pair: Two prompts with the same images.
        image_root: Folder of the images.

    Returns:
        The reason why not, or None if they may.
    """

    def continued(tokens: torch.Tensor) -> torch.Tensor:
        tree = prompt_tree(model, processor, pair, image_root)
        if tree is None:
            raise ValueError("the processor writes questions about an image in other tokens")
        keys = tree.split()
        second = (keys.next_logits(model, tokens) + tree.next_logits(tokens)) / 2
        return torch.stack([tree.logits, second], dim=1)

    return _difference(model, processor, pair, image_root, continued)


def longer(prompt: Prompt) -> Prompt:
    """Return another prompt of the same form: its question is asked twice."""
    return replace(prompt, question=f"{prompt.question} {prompt.question}")


def _difference(
    model: Any,
    processor: Any,
    pair: Sequence[TokenizedPrompt],
    image_root: Path,
    continued: Callable[[torch.Tensor], torch.Tensor],
) -> str | None:
    """Compare the log-probs of two tokens after each prompt with those of `generate`, which gets each prompt alone.

    How far a plain batch of the prompts is from them is what rounding does in the model's type.

    Args:
        model: The model.
        processor: Its processor.
        pair: The prompts.
        image_root: Folder of the images.
        continued: Returns the logits of both tokens [B, 2, V]; takes the first tokens [B].
    """
    with torch.inference_mode():
        try:
            alone = [
                model.generate(
                    **processed(model, processor, [one.prompt], [one.text], image_root),
                    max_new_tokens=2,
                    min_new_tokens=2,
                    do_sample=False,
                    output_logits=True,
                    return_dict_in_generate=True,
                )
                for one in pair
            ]
            expected = torch.cat([torch.stack(one.logits, dim=1) for one in alone]).log_softmax(dim=-1)
            found = continued(torch.cat([one.sequences[:, -2] for one in alone])).float().log_softmax(dim=-1)
            prompts, texts = [one.prompt for one in pair], [one.text for one in pair]
            _, batch = prefill(model, processed(model, processor, prompts, texts, image_root))
        except (torch.OutOfMemoryError, UserError):
            raise
        except Exception as error:  # architectures reject masks, positions and caches in different ways
            return f"it does not accept a precomputed prefix ({type(error).__name__}: {error})"
    rounding = float((expected[:, 0] - batch.float().log_softmax(dim=-1)).abs().mean())
    return difference(expected, found, expected.numel(), model.dtype, rounding)
