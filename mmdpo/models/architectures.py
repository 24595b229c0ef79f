"""Recognition of architectures that cannot be used, by `config.json` alone. Imports no torch.

Every model is also tested itself before it is trained (mmdpo/training/causality.py). These lists only find the known
cases earlier, before the base is measured or a hub model is downloaded.
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
BIDIRECTIONAL = ("paligemma",)  # attention over the whole input, unless the model is told where the answer starts
ATTENTION = "attn_implementation"
"""End of the keys that choose an implementation of attention; OWNER/NAME is one on the hub, which is code."""


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
        return f"its config.json names code to download, {ATTENTION}={kernels}; remove the key from the file"
    return None


def is_text_only(config: Mapping[str, Any]) -> bool:
    """Return whether a model is a causal language model without a part for images.

    Args:
        config: Content of the model's `config.json`.
    """
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    has_vision = any("vision" in key or key.startswith(("mm_", "image_")) for key in config)
    return not has_vision and any(str(name).endswith("ForCausalLM") for name in names)


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
    """Find implementations of attention on the hub in a config and in the configs within it."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _kernels(value)
        elif key.endswith(ATTENTION) and "/" in str(value):
            yield str(value)
