"""Image and prompt through the model once for several answers: their keys and values, repeated."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""How far log-probs may lie apart in the mean, by the model's type; a wrong position or mask is far off."""


def repeated(inputs: Any, count: int) -> dict[str, Any]:
    """The inputs with every row `count` times."""
    return (
        dict(inputs) if count == 1 else {name: value.repeat_interleave(count, dim=0) for name, value in inputs.items()}
    )


def shared(model: Any, inputs: Any, count: int) -> dict[str, Any]:
    """What `generate` goes on from: all but the last token of each prompt computed once, then repeated.

    `inputs` are [B, T], padded on the left; the result has B * count rows.
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


def reason_against_sharing(model: Any, inputs: Any) -> str | None:
    """Why this architecture cannot share a prefix, tried with two tokens after these inputs; else None."""
    with torch.inference_mode():
        try:
            expected = _log_probs(model, repeated(inputs, 2))
            found = _log_probs(model, shared(model, inputs, 2))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever an architecture makes of a cache that it did not fill itself
            return f"it takes no prefix computed beforehand ({type(error).__name__})"
    return difference(expected, found, expected.numel(), model.dtype)


def difference(expected: torch.Tensor, found: torch.Tensor, count: int, dtype: torch.dtype) -> str | None:
    """What is wrong where so many log-probs lie too far apart for a model of this type; else None."""
    gap = float((expected - found).abs().sum() / count)
    return None if gap <= TOLERANCE[dtype] else f"log-probs would differ by {gap:.2g}"


def _log_probs(model: Any, rows: dict[str, Any]) -> torch.Tensor:
    """Of the next two tokens, [rows, 2, V]."""
    made = model.generate(
        **rows,
        max_new_tokens=2,
        min_new_tokens=2,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return torch.stack(made.logits, dim=1).log_softmax(dim=-1)
