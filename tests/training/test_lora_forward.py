"""The shorter forward gives what PEFT's own does, gradients too."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from mmdpo.training.lora_forward import ScaledEarly, scale_early


def adapted(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 7))
    model = get_peft_model(plain, LoraConfig(r=4, lora_alpha=6, target_modules=["0", "2"])).to(dtype)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    return model


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_it_gives_what_pefts_own_forward_does(dtype: torch.dtype, near: float) -> None:
    own = adapted(dtype)
    early = copy.deepcopy(own)
    scale_early(early)
    x = torch.randn(3, 5, 12, dtype=dtype)
    for model in (own, early):
        model(x).float().pow(2).sum().backward()
    torch.testing.assert_close(early(x), own(x), atol=near, rtol=near)
    for (name, one), other in zip(early.named_parameters(), own.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None) == ("lora" not in name)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=near, rtol=near)


def test_the_base_is_untouched() -> None:
    model = adapted(torch.float64)
    scale_early(model)
    x = torch.randn(2, 12, dtype=torch.float64)
    with model.disable_adapter():
        base = model(x)
    assert not torch.allclose(base, model(x))
    layers = [module for module in model.modules() if hasattr(module, "lora_variant")]
    assert len(layers) == 2
    assert all(isinstance(layer.lora_variant["default"], ScaledEarly) for layer in layers)
