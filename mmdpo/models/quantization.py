"""Loading of the frozen base of a training: its attention, and 4-bit weights of its language model (QLoRA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import LoadOptions, load_model, torch_dtype
from mmdpo.models.paths import resolve_path

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel

    from mmdpo.config.schema import ModelConfig


def load_training_base(model: ModelConfig, own_weights: bool = False) -> PreTrainedModel:
    """Load the base of a training and its reference as `model.quantization` and `model.attn_implementation` say.

    4-bit weights are loaded to this process's GPU. The caller may change weights that are its own.
    """
    attention = "sdpa" if model.attn_implementation == "auto" else model.attn_implementation
    if model.quantization is None:
        return load_model(model.path, model.dtype, own_weights, LoadOptions(attention))
    config = quantization_config(model.quantization, torch_dtype(model.dtype), outside_of_decoder(model.path))
    return load_model(model.path, model.dtype, options=LoadOptions(attention, config))


def base_settings(model: ModelConfig) -> dict[str, Any]:
    """Return the settings of a base that its log-probs depend on, without those at their defaults."""
    found = {"quantization": model.quantization, "attn_implementation": model.attn_implementation}
    return {name: value for name, value in found.items() if value not in (None, "auto", "sdpa")}


def quantization_config(kind: str, compute_dtype: torch.dtype, skipped: list[str]) -> BitsAndBytesConfig:
    """Build the configuration of 4-bit weights, with QLoRA's double quantization (arXiv 2305.14314).

    Args:
        kind: `model.quantization`.
        compute_dtype: The type that products are computed in.
        skipped: Modules that keep their weights.

    Returns:
        The configuration for `from_pretrained`.
    """
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=skipped,
    )


def outside_of_decoder(path: str) -> list[str]:
    """List the modules with linear layers outside of the language model: vision tower, projector and output head.

    The output head keeps its weights because log-probs are computed from them directly.
    """
    with suppress_library_output():
        import torch
        from transformers import AutoConfig, AutoModelForImageTextToText

        config = AutoConfig.from_pretrained(resolve_path(path), trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
    inside = {id(module) for module in model.get_decoder().modules()}
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and (id(module) not in inside or module is model.get_output_embeddings())
    ]
    return sorted({_top(name, model) for name in linear})


def _top(name: str, model: PreTrainedModel) -> str:
    """Return the outermost module around a layer that does not hold the language model, too."""
    decoder = model.get_decoder()
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        outer = ".".join(parts[:length])
        if all(module is not decoder for module in model.get_submodule(outer).modules()):
            return outer
    return name
