"""Scaling early gives PEFT's own outputs and gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from mmdpo.training.lora_forward import ScaledEarly, scale_early


def adapted(dtype: torch.dtype, rank: int = 4, dropout: float = 0.0) -> nn.Module:
    """Layers of 12 x 20 and 20 x 7."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 7))
    lora = LoraConfig(r=rank, lora_alpha=6, lora_dropout=dropout, target_modules=["0", "2"])
    model = get_peft_model(plain, lora).to(dtype)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    return model


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_outputs_and_gradients_are_pefts_own(rank: int, dropout: float, dtype: torch.dtype, near: float) -> None:
    own = adapted(dtype, rank, dropout)
    early = copy.deepcopy(own)
    scale_early(early)
    layers = [module for module in early.modules() if hasattr(module, "lora_variant")]
    assert len(layers) == 2
    assert all(isinstance(layer.lora_variant["default"], ScaledEarly) for layer in layers)
    x = torch.randn(3, 5, 12, dtype=dtype)
    outputs = []
    for model in (own, early):
        torch.manual_seed(1)  # the same dropout
        outputs.append(model(x))
        outputs[-1].float().pow(2).sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0], atol=near, rtol=near)
    for (name, one), other in zip(early.named_parameters(), own.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None) == ("lora" not in name)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=near, rtol=near)


def test_the_base_is_untouched() -> None:
    model = adapted(torch.float64)
    x = torch.randn(2, 12, dtype=torch.float64)
    with model.disable_adapter():
        expected = model(x)
    scale_early(model)
    with model.disable_adapter():
        base = model(x)
    torch.testing.assert_close(base, expected)
    assert not torch.allclose(base, model(x))
