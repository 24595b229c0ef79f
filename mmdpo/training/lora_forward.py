"""LoRA's forward with less work than PEFT's own; saving and merging know nothing of it."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from peft.tuners.lora.layer import Linear, LoraVariant
from torch import nn


class ScaledEarly(LoraVariant):
    """Scales the product of width `rank`, [B, T, rank], and not the layer's whole output: the same sum.

    PEFT's own forward multiplies all of [B, T, width] by the scale, and keeps it for the backward pass.
    """

    @staticmethod
    def forward(module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """The base layer's `result` with the adapter's part added."""
        narrow = module.lora_A[active_adapter](module.lora_dropout[active_adapter](x))
        added: torch.Tensor = module.lora_B[active_adapter](narrow * module.scaling[active_adapter])
        return result + added


def summed(module: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """The forward of a LoRA layer as one product, with W + scale B A: for layers so small that this is less.

    Of n tokens, the three products of a step with W + scale B A take 3 n in out multiplications, those
    with W, A and B apart 2 n in out + 3 n rank (in + out).
    """
    if module.disable_adapters or module.merged:
        return Linear.forward(module, x, *args, **kwargs)
    (name,) = module.active_adapters
    base, down, up = module.get_base_layer(), module.lora_A[name].weight, module.lora_B[name].weight
    return nn.functional.linear(x, torch.addmm(base.weight, up, down, alpha=module.scaling[name]), base.bias)


def speed_up(model: nn.Module) -> None:
    """Let every plain LoRA layer of a model in training compute in its shorter way."""
    for module in model.modules():
        if not isinstance(module, Linear) or module.lora_variant:
            continue
        if _is_less_summed(module):
            module.forward = MethodType(summed, module)
        else:
            module.lora_variant.update({name: ScaledEarly() for name in module.lora_A})


def _is_less_summed(module: Any) -> bool:
    """Whether `summed` is less work, and the same: narrower numbers would round small changes away."""
    weight, (name, *others) = module.get_base_layer().weight, module.lora_A
    plain = isinstance(module.lora_dropout[name], nn.Identity) and module.lora_B[name].bias is None
    if others or not plain or module.fan_in_fan_out:
        return False
    if weight.dim() != 2 or torch.finfo(weight.dtype).bits < 32:  # ZeRO-3 gathers weights for their own layer
        return False
    height, width = weight.shape
    return height * width < 3 * module.r[name] * (height + width)
