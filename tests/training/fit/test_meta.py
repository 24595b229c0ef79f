"""Costs of models without their weights, beside those derived by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mmdpo.config.schema import ModelConfig, TrainConfig
from mmdpo.models.loading import load_processor
from mmdpo.records import PreferencePair
from mmdpo.training.collate import Collator
from mmdpo.training.fit.meta import Device, fixed_bytes, meta_model, step_cost
from mmdpo.training.rows import tokenize_examples
from tests.support.tiny import Tiny, tiny_settings

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
LAYERS, HIDDEN, INTERMEDIATE, RANK = 40, 5120, 13824, 128
GPU, CPU = Device(gpu=True, dtype=torch.bfloat16), Device(gpu=False, dtype=torch.float32)


@pytest.fixture
def flops(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("flops")


@pytest.mark.long
def test_the_memory_of_a_13b(flops: ModuleType) -> None:
    # Of a token and layer. Inputs of 2 norms in float32; inputs of LoRA after dropout (q, k, v, o, gate, up, down) with
    # their masks; q, k, v and the output of attention; gate, up and SiLU; outputs of LoRA's first factors.
    norms = 2 * 4 * HIDDEN
    dropped = 6 * (2 + 1) * HIDDEN + (2 + 1) * INTERMEDIATE
    token = norms + dropped + 4 * 2 * HIDDEN + 3 * 2 * INTERMEDIATE + 7 * 2 * RANK
    assert token * LAYERS == pytest.approx(12.1e6, rel=0.01)
    lora = RANK * (4 * 2 * HIDDEN + 3 * (HIDDEN + INTERMEDIATE))
    casts = 2 * lora  # autocast's copies of LoRA's weights
    batch = flops.batch(shared=True)
    one, two = (flops.model_13b(layers) for layers in (1, 2))
    costs = [step_cost(model, batch, GPU, recompute=False) for model in (one, two)]
    more = costs[1].peak_bytes - costs[0].peak_bytes
    assert more == pytest.approx(token * costs[0].tokens + casts, rel=0.03)
    weights, trained = (second - first for first, second in zip(fixed_bytes(one), fixed_bytes(two), strict=True))
    assert trained == 16 * lora  # weights, gradients and two states of Adam in float32
    assert (weights + trained) * LAYERS / 1e9 == pytest.approx(33.4, rel=0.01)  # 34.7 with head, tower and projector


@pytest.mark.long
def test_the_flops_of_a_13b(flops: ModuleType) -> None:
    one, two = (flops.count(flops.model_13b(layers)) for layers in (1, 2))
    expected = {"b": 184.6, "b'": 139.9, "c": 86.4, "c1": 95.0, "e": 58.2}  # on paper
    for way, value in expected.items():
        total = one[way].total + (LAYERS - 1) * (two[way].total - one[way].total)
        assert total / 1e12 == pytest.approx(value, rel=0.03)


def test_eager_attention_keeps_its_weights(tiny: Tiny) -> None:
    pair = PreferencePair("0", "is there " * 60, "a red star", "no")
    processor = load_processor(ModelConfig(path=str(tiny.model)))
    rows = tokenize_examples([pair], tiny.images, processor, TrainConfig()).rows
    costs = {}
    for attention in ("flash_attention_2", "eager"):
        model = meta_model(tiny_settings(tiny.model, model__attn_implementation=attention).model)
        for shared in (True, False):
            batch = Collator(processor, shared=shared)(rows)
            costs[attention, shared] = step_cost(model, batch, CPU, recompute=False)
    more = costs["eager", False].peak_bytes - costs["flash_attention_2", False].peak_bytes
    tokens = costs["eager", False].tokens // 2
    weights = 2 * 2 * 4 * tokens**2 * 4  # of two layers, two rows and four heads, in float32
    assert weights / 2 < more < 2 * weights  # the peaks are not at the same operation
    assert costs["eager", True].peak_bytes == costs["flash_attention_2", True].peak_bytes  # shared rows have their own
