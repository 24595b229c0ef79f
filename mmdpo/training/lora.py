"""LoRA on the language model, found by structure and not by a list of names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmdpo.errors import UserError

if TYPE_CHECKING:
    from peft import LoraConfig as PeftLoraConfig
    from torch import nn
    from transformers import PreTrainedModel

    from mmdpo.config.schema import ModelConfig


def language_model(model: PreTrainedModel) -> nn.Module:
    """The decoder inside a vision-language model: no vision tower, no projector, no output head."""
    decoder: nn.Module = model.get_decoder()
    return decoder


def target_names(model: PreTrainedModel) -> list[str]:
    """Full names of every nn.Linear of the language model, sorted."""
    from torch import nn

    inside = {id(module) for module in language_model(model).modules() if isinstance(module, nn.Linear)}
    head = model.get_output_embeddings()
    return sorted(name for name, module in model.named_modules() if id(module) in inside and module is not head)


def target_pattern(model: PreTrainedModel) -> str:
    """One regular expression that matches exactly `target_names`, for PEFT.

    A pattern and not a list: PEFT keeps lists as sets, whose order changes from run to run, and the
    adapter's config would not be the same bytes twice. Layer numbers become digits.
    """
    shapes = {re.sub(r"(?<=\.)\d+(?=\\?\.)", r"\\d+", re.escape(name)) for name in target_names(model)}
    return "|".join(sorted(shapes))


def projector_names(model: PreTrainedModel) -> list[str]:
    """Full names of the modules between vision encoder and language model, found by structure.

    The children with weights, beside those two, of the model that holds both. Empty where there are
    none: Qwen2.5-VL's lies inside its vision encoder.
    """
    inner = model.base_model
    apart = {id(language_model(model)), id(inner.get_encoder(modality="image"))}
    prefix = next(name for name, module in model.named_modules() if module is inner)
    return [
        f"{prefix}.{name}"
        for name, module in inner.named_children()
        if id(module) not in apart and any(True for _ in module.parameters())
    ]


def lora(model: PreTrainedModel, cfg: ModelConfig) -> PeftLoraConfig:
    """PEFT's configuration for `model`; the trainer makes the layers after it has set the seed.

    With `model.train_projector` the projector is copied and trained beside LoRA; the base keeps its own.
    Raises UserError for an architecture without one.
    """
    from peft import LoraConfig as PeftLoraConfig

    projector = projector_names(model) if cfg.train_projector else []
    if cfg.train_projector and not projector:
        raise UserError(
            f"model.train_projector=true: {type(model).__name__} has no projector apart from its vision "
            "encoder; type model.train_projector=false"
        )

    return PeftLoraConfig(
        r=cfg.lora.r,
        lora_alpha=cfg.lora.lora_alpha,
        lora_dropout=cfg.lora.lora_dropout,
        target_modules=target_pattern(model),
        bias="none",
        modules_to_save=projector or None,
        task_type="CAUSAL_LM",
    )
