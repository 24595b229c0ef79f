"""LoRA on the language model, found by structure and not by a list of names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft import LoraConfig as PeftLoraConfig
    from torch import nn
    from transformers import PreTrainedModel

    from mmdpo.config import LoraConfig


def language_model(model: PreTrainedModel) -> nn.Module:
    """The decoder inside a vision-language model: no vision tower, no projector, no output head."""
    decoder: nn.Module = model.get_decoder()
    return decoder


def target_names(model: PreTrainedModel) -> list[str]:
    """Full names of every nn.Linear of the language model, sorted."""
    from torch import nn

    inside = {id(module) for module in language_model(model).modules() if isinstance(module, nn.Linear)}
    head = model.get_output_embeddings()
    return sorted(
        name for name, module in model.named_modules() if id(module) in inside and module is not head
    )


def target_pattern(model: PreTrainedModel) -> str:
    """One regular expression that matches exactly `target_names`, for PEFT.

    A pattern and not a list: PEFT keeps lists as sets, whose order changes from run to run, and the
    adapter's config would not be the same bytes twice. Layer numbers become digits.
    """
    shapes = {re.sub(r"(?<=\.)\d+(?=\\?\.)", r"\\d+", re.escape(name)) for name in target_names(model)}
    return "|".join(sorted(shapes))


def lora(model: PreTrainedModel, cfg: LoraConfig) -> PeftLoraConfig:
    """PEFT's configuration for `model`; the trainer makes the layers after it has set the seed."""
    from peft import LoraConfig as PeftLoraConfig

    return PeftLoraConfig(
        r=cfg.rank,
        lora_alpha=cfg.alpha,
        lora_dropout=cfg.dropout,
        target_modules=target_pattern(model),
        bias="none",
        task_type="CAUSAL_LM",
    )
