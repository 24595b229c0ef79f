"""Forward pass of LoRA layers that scales the narrow product instead of the wide one; saving is unaffected."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear, LoraVariant
from torch import nn


class ScaledEarly(LoraVariant):
    """LoRA variant that scales the product of width r, [B, T, r], instead of the output, [B, T, width].

    The sum is the same. PEFT's own forward multiplies all of [B, T, width] by the scale, in the backward pass, too.
    """

    @staticmethod
    def forward(module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Add the adapter's part to the base layer's output.

        Args:
            module: The LoRA layer.
            active_adapter: Name of the adapter.
            x: Input [B, T, in].
            result: Output of the base layer [B, T, out].
            **kwargs: Arguments of PEFT's interface that are not used.

        Returns:
            The layer's output [B, T, out].
        """
        narrow = module.lora_A[active_adapter](module.lora_dropout[active_adapter](x))
        added: torch.Tensor = module.lora_B[active_adapter](narrow * module.scaling[active_adapter])
        return result + added


def scale_early(model: nn.Module) -> None:
    """Let every plain LoRA layer of a model in training scale the narrow product."""
    for module in model.modules():
        if isinstance(module, Linear) and not module.lora_variant:
            module.lora_variant.update({name: ScaledEarly() for name in module.lora_A})
