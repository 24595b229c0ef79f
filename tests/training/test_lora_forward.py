"""The shorter forward gives what PEFT's own does, gradients too."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from mmdpo.training.lora_forward import ScaledEarly, speed_up, summed


def adapted(dtype: torch.dtype, rank: int = 4, dropout: float = 0.0) -> nn.Module:
    """Layers of 12 x 20 and 20 x 7: rank 4 is much for them, and rank 1 little."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 7))
    lora = LoraConfig(r=rank, lora_alpha=6, lora_dropout=dropout, target_modules=["0", "2"])
    model = get_peft_model(plain, lora).to(dtype)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    return model


def ways(model: nn.Module) -> set[str]:
    """How the LoRA layers compute."""
    layers = [module for module in model.modules() if hasattr(module, "lora_variant")]
    assert len(layers) == 2
    return {
        "summed"
        if getattr(layer.forward, "__func__", None) is summed
        else "early"
        if isinstance(layer.lora_variant.get("default"), ScaledEarly)
        else "PEFT's own"
        for layer in layers
    }


@pytest.mark.parametrize(
    ("rank", "dropout", "dtype", "way"),
    [
        (4, 0.0, torch.float32, "summed"),
        (1, 0.0, torch.float32, "early"),
        (4, 0.1, torch.float32, "early"),  # dropout lies before the narrow product alone
        (4, 0.0, torch.bfloat16, "early"),  # 8 bits of W + B A would lose what training changes
    ],
)
def test_the_shorter_way_is_taken(rank: int, dropout: float, dtype: torch.dtype, way: str) -> None:
    model = adapted(dtype, rank, dropout)
    speed_up(model)
    assert ways(model) == {way}


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_it_gives_what_pefts_own_forward_does(rank: int, dtype: torch.dtype, near: float) -> None:
    own = adapted(dtype, rank)
    early = copy.deepcopy(own)
    speed_up(early)
    x = torch.randn(3, 5, 12, dtype=dtype)
    for model in (own, early):
        model(x).float().pow(2).sum().backward()
    torch.testing.assert_close(early(x), own(x), atol=near, rtol=near)
    for (name, one), other in zip(early.named_parameters(), own.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None) == ("lora" not in name)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=near, rtol=near)


@pytest.mark.parametrize("rank", [1, 4])
def test_the_base_is_untouched(rank: int) -> None:
    model = adapted(torch.float64, rank)
    x = torch.randn(2, 12, dtype=torch.float64)
    with model.disable_adapter():
        expected = model(x)
    speed_up(model)
    with model.disable_adapter():
        base = model(x)
    torch.testing.assert_close(base, expected)
    assert not torch.allclose(base, model(x))
