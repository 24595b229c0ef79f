"""LoRA's forward in fewer passes over memory, in the place that PEFT has for variants of it."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear, LoraVariant
from torch import nn


class ScaledEarly(LoraVariant):
    """Scales the product of width `rank`, [B, T, rank], and not the layer's whole output: the same sum.

    PEFT's own forward multiplies all of [B, T, width] by the scale, and keeps it for the backward pass.
    """

    @staticmethod
    def forward(
        module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **kwargs: Any
    ) -> torch.Tensor:
        """The base layer's `result` with the adapter's part added."""
        narrow = module.lora_A[active_adapter](module.lora_dropout[active_adapter](x))
        added: torch.Tensor = module.lora_B[active_adapter](narrow * module.scaling[active_adapter])
        return result + added


def scale_early(model: nn.Module) -> None:
    """Let every plain LoRA layer of a model in training compute so; saving and merging know nothing of it."""
    for module in model.modules():
        if isinstance(module, Linear):
            for name in set(module.lora_A) - set(module.lora_variant):
                module.lora_variant[name] = ScaledEarly()
