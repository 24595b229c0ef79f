"""Prefix sharing in generation: image and prompt are computed once for several answers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Largest mean difference of log-probs (nats), by the model's type; a wrong position or mask exceeds it by far."""


def repeat_rows(inputs: Any, count: int) -> dict[str, Any]:
    """Repeat every row of the inputs `count` times, [B, ...] to [B * count, ...]."""
    return (
        dict(inputs) if count == 1 else {name: value.repeat_interleave(count, dim=0) for name, value in inputs.items()}
    )


def compute_prefix(model: Any, inputs: Any, count: int) -> dict[str, Any]:
    """Compute keys and values of all but the last token of each prompt once, and repeat them.

    Args:
        model: A vision-language model.
        inputs: Tensors of B prompts, padded on the left: `input_ids` and `attention_mask` [B, T], and the images'.
        count: Answers per prompt.

    Returns:
        Arguments of `generate`, with B * count rows: `input_ids`, `attention_mask` and `past_key_values`.
    """
    mask = inputs["attention_mask"]
    cache = DynamicCache(config=model.config.get_text_config())
    images = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    model(
        input_ids=inputs["input_ids"][:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, :-1],  # as `generate` counts them
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **images,
    )
    cache.batch_repeat_interleave(count)
    rows = {name: inputs[name].repeat_interleave(count, dim=0) for name in ("input_ids", "attention_mask")}
    return {**rows, "past_key_values": cache}


def reason_against_sharing(model: Any, inputs: Any, twice: Any) -> str | None:
    """Test by two tokens after these inputs whether the architecture can share a prefix.

    Args:
        model: A vision-language model.
        inputs: Tensors of B prompts, padded on the left.
        twice: Tensors of the same prompts, each in two successive rows.

    Returns:
        The reason why it cannot, or None if it can.
    """
    with torch.inference_mode():
        try:
            expected = _log_probs(model, twice)
            found = _log_probs(model, compute_prefix(model, inputs, 2))
            reason = difference(expected, found, expected.numel(), model.dtype)
            if reason is None:
                return None
            rounding = float((expected[::2] - _log_probs(model, inputs)).abs().mean())
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # architectures reject a prefilled cache in different ways
            return f"it does not accept a precomputed prefix ({type(error).__name__})"
    return difference(expected, found, expected.numel(), model.dtype, rounding)


def difference(
    expected: torch.Tensor, found: torch.Tensor, count: int, dtype: torch.dtype, rounding: float = 0.0
) -> str | None:
    """Compare log-probs by their mean absolute difference.

    Logits of 64 and more are multiples of 0.5 in bfloat16, so that rounding alone may exceed the tolerance.

    Args:
        expected: Log-probs of any shape.
        found: Log-probs of the same shape.
        count: Number of log-probs to divide by; padding does not count.
        dtype: The model's type, which sets the tolerance.
        rounding: The mean difference that rounding makes in this model. Twice as much is tolerated, up to ten times
            the tolerance.

    Returns:
        A description of a difference above the tolerance, else None.
    """
    gap = float((expected - found).abs().sum() / count)
    limit = min(max(TOLERANCE[dtype], 2 * rounding), 10 * TOLERANCE[dtype])
    return None if gap <= limit else f"log-probs would differ by {gap:.2g}"


def _log_probs(model: Any, rows: dict[str, Any]) -> torch.Tensor:
    """Return the log-probs of the next two tokens, [rows, 2, V]."""
    output = model.generate(
        **rows,
        max_new_tokens=2,
        min_new_tokens=2,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return torch.stack(output.logits, dim=1).log_softmax(dim=-1)
