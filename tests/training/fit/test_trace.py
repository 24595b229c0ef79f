"""FLOPs and bytes of code, on real tensors and without values."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mmdpo.training.fit.kernels import device_kernels
from mmdpo.training.fit.trace import Trace

KIB = 1024


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_flops_and_peak_of_two_products(device: str) -> None:
    weight = torch.ones(64, 64, device=device, requires_grad=True)  # 16 KiB, from before the block
    with Trace() as trace:
        hidden = torch.ones(32, 64, device=device) @ weight  # 8 KiB each; 2 x 32 x 64 x 64
        assert (trace.flops, trace.live_bytes) == (262144, 16 * KIB)
        (hidden * 2).sum().backward()  # a weight gradient with as many
        del hidden
    assert trace.flops == 2 * 262144
    assert trace.live_bytes <= 16 * KIB + 512  # the gradient is left, and a scalar for a moment
    assert 40 * KIB <= trace.peak_bytes <= 56 * KIB


def test_integers_are_real_without_values() -> None:
    ids = torch.tensor([[1, 4, 4, 2]])
    with torch.device("meta"):
        embedding = torch.nn.Embedding(8, 16)
    with Trace():
        states = embedding(ids)
        image = torch.ones(2, 16, device="meta")
        assert states[ids == 4].shape == (2, 16)
        assert states.masked_scatter((ids == 4)[..., None], image).shape == (1, 4, 16)
        assert torch.arange(3, device="meta").tolist() == [0, 1, 2]
        assert ids.to("meta").sum().item() == 11
        assert float(states.detach().sum()) == 1.0  # of no value
        with pytest.raises(NotImplementedError, match="integer"):
            states.detach().argmax().item()


def test_causal_attention_counts_half_and_keeps_no_weights() -> None:
    states = torch.ones(1, 2, 256, 16, device="meta")
    with Trace() as trace, device_kernels(gpu=True):
        functional.scaled_dot_product_attention(states, states, states, is_causal=True)
    assert trace.flops == 2 * 2 * 256 * 256 * 16  # 4 H T T D / 2
    assert trace.peak_bytes < 256 * 256 * 4


@pytest.mark.parametrize(("gpu", "mask_bytes"), [(True, 1), (False, 4)])
def test_the_mask_of_dropout(gpu: bool, mask_bytes: int) -> None:
    states = torch.ones(KIB, device="meta", requires_grad=True)
    with Trace() as trace, device_kernels(gpu):
        dropped = functional.dropout(states, 0.5)
        assert trace.live_bytes == (4 + mask_bytes) * KIB
    assert dropped.is_meta


def test_other_tensors_are_computed_as_usual() -> None:
    states = torch.ones(1, 1, 4, 8)
    with device_kernels(gpu=True, autocast=torch.bfloat16):
        assert functional.linear(states, torch.ones(2, 8)).dtype is torch.float32
        assert functional.linear(states.to("meta"), torch.ones(2, 8, device="meta")).dtype is torch.bfloat16
        found = functional.scaled_dot_product_attention(states, states, states)
    assert torch.equal(found, states)
