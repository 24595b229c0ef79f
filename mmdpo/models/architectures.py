"""Architectures that cannot be used, told by `config.json` before anything is loaded. Light: imports no torch.

Whether an architecture can be trained is also tested on the model itself (mmdpo/training/causality.py): this list
only tells the known ones earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SUPPORTED = (
    "decoder-only models in which an image takes the place of tokens of the prompt, such as LLaVA, LLaVA-NeXT, "
    "Idefics3, SmolVLM and Qwen2.5-VL"
)
ENCODER_DECODERS = ("florence2", "pix2struct", "pp_formulanet", "t5gemma2", "udop", "vision-encoder-decoder")
CROSS_ATTENTION = ("blip", "evolla", "idefics", "mllama")  # idefics2 and idefics3 have none
BIDIRECTIONAL = ("paligemma",)  # over the prompt, to which the answer belongs as long as it is not generated
KERNELS = "attn_implementation"


def unusable_reason(config: Mapping[str, Any]) -> str | None:
    """Return the reason why a model cannot be loaded, measured or trained, or None if none is known.

    Args:
        config: Content of the model's `config.json`.
    """
    kind = str(config.get("model_type"))
    text = config.get("text_config")
    text = text if isinstance(text, Mapping) else {}
    if kind in ENCODER_DECODERS or config.get("is_encoder_decoder") is True or text.get("is_encoder_decoder") is True:
        return f"its architecture ({kind}) is an encoder-decoder; supported are {SUPPORTED}"
    if kind in CROSS_ATTENTION or "cross_attention_layers" in text:
        return f"its architecture ({kind}) sees images through cross-attention; supported are {SUPPORTED}"
    if kernels := next(_kernels(config), None):
        return f"its config.json names code to download, {KERNELS}={kernels}; remove the key from the file"
    return None


def untrainable_reason(config: Mapping[str, Any]) -> str | None:
    """Return the reason why a model can be measured but not trained, or None if none is known.

    Args:
        config: Content of the model's `config.json`.
    """
    kind = str(config.get("model_type"))
    if kind not in BIDIRECTIONAL:
        return None
    return (
        f"its architecture ({kind}) attends to later tokens of an answer, so that an answer has no log-prob; "
        f"supported are {SUPPORTED}"
    )


def _kernels(config: Mapping[str, Any]) -> Iterator[str]:
    """Find the attention of a hub's repository, which is code, in a config and in the configs within it."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _kernels(value)
        elif key.endswith(KERNELS) and "/" in str(value):
            yield str(value)
