"""LoRA on the language model, whose layers are found by structure instead of a list of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mmdpo.console import print_line
from mmdpo.errors import UserError

if TYPE_CHECKING:
    from peft import LoraConfig as PeftLoraConfig
    from torch import nn
    from transformers import PreTrainedModel

    from mmdpo.config.schema import ModelConfig


def language_model(model: PreTrainedModel) -> nn.Module:
    """Return the decoder of a vision-language model, without vision tower, projector and output head."""
    decoder: nn.Module = model.get_decoder()
    return decoder


def target_names(model: PreTrainedModel) -> list[str]:
    """List the full names of every nn.Linear of the language model, sorted."""
    from torch import nn

    inside = {id(module) for module in language_model(model).modules() if isinstance(module, nn.Linear)}
    head = model.get_output_embeddings()
    return sorted(name for name, module in model.named_modules() if id(module) in inside and module is not head)


def pattern_of(names: Sequence[str], modules: Iterable[str]) -> str:
    """Build one regular expression for PEFT that matches exactly some of a model's modules.

    Args:
        names: The full names of the modules to match.
        modules: The names of all modules of the model.

    Returns:
        The expression; layer numbers are a pattern of digits where that matches no other module.
    """
    pattern = _with_digits(names)
    wanted, matcher = set(names), re.compile(pattern)
    if all(name in wanted for name in modules if matcher.fullmatch(name)):
        return pattern
    return "|".join(map(re.escape, sorted(wanted)))


def target_pattern(model: PreTrainedModel) -> str:
    """Build one regular expression for PEFT that matches exactly `target_names`.

    PEFT keeps a list of names as a set, whose order changes between runs, so the adapter's config would not be
    reproducible byte by byte. Layer numbers become a pattern of digits.
    """
    return _with_digits(target_names(model))


def _with_digits(names: Iterable[str]) -> str:
    """Return an expression that matches names, whatever the numbers of their layers are."""
    return "|".join(sorted({re.sub(r"(?<=\.)\d+(?=\\?\.)", r"\\d+", re.escape(name)) for name in names}))


def zero_row_names(model: PreTrainedModel) -> list[str]:
    """List the full names of the layers of `target_names` whose weights have a row of zeros.

    DoRA divides by the norm of each row, so PEFT's result would be NaN. Weights without values here are not looked at:
    those on the meta device, partitioned ones, and packed 4-bit ones.
    """
    layers = {name: model.get_submodule(name).weight for name in target_names(model)}
    return [
        name
        for name, weight in layers.items()
        if not weight.is_meta and weight.ndim == 2 and weight.is_floating_point() and bool((~weight.any(dim=1)).any())
    ]


def _pattern_without(model: PreTrainedModel, without: Sequence[str]) -> str:
    """Build one regular expression for PEFT that matches `target_names` but for some of them."""
    names = [name for name in target_names(model) if name not in without]
    return pattern_of(names, [name for name, _ in model.named_modules()])


def projector_names(model: PreTrainedModel) -> list[str]:
    """List the full names of the modules between vision encoder and language model.

    These are the other children with weights of the module that holds both. The list is empty for an architecture
    without any: Qwen2.5-VL's projector is part of its vision encoder.
    """
    inner = model.base_model
    excluded = {id(language_model(model)), id(inner.get_encoder(modality="image"))}
    prefix = next(name for name, module in model.named_modules() if module is inner)
    return [
        f"{prefix}.{name}"
        for name, module in inner.named_children()
        if id(module) not in excluded and any(True for _ in module.parameters())
    ]


def lora(model: PreTrainedModel, config: ModelConfig) -> PeftLoraConfig:
    """Build PEFT's configuration; the trainer creates the layers once the seed is set.

    With `model.train_projector`, a copy of the projector is trained in addition to LoRA, and the base keeps its own.
    With `model.lora.use_dora`, layers that DoRA cannot scale are left out, and named on the console.
    Raises UserError for an architecture without a separate projector.
    """
    from peft import LoraConfig as PeftLoraConfig

    projector = projector_names(model) if config.train_projector else []
    if config.train_projector and not projector:
        raise UserError(
            f"model.train_projector=true: {type(model).__name__} has no projector apart from its vision "
            "encoder; type model.train_projector=false"
        )
    without = zero_row_names(model) if config.lora.use_dora else []
    if without:
        print_line(
            f"model.lora.use_dora=true: {', '.join(without)} keep their weights; rows of zeros have no "
            "direction for DoRA to scale"
        )

    return PeftLoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.lora_alpha,
        lora_dropout=config.lora.lora_dropout,
        use_rslora=config.lora.use_rslora,
        use_dora=config.lora.use_dora,
        target_modules=_pattern_without(model, without) if without else target_pattern(model),
        bias="none",
        modules_to_save=projector or None,
        task_type="CAUSAL_LM",
    )
