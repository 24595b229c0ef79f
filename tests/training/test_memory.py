"""Out of memory: the overrides that help, best first, and none that is set already."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from mmdpo.errors import UserError
from mmdpo.models.device import device
from mmdpo.training.memory import is_out_of_memory, out_of_memory_advice, peak_memory
from mmdpo.training.run import train_adapter
from tests.support.tiny import Tiny, tiny_settings

OF_THE_CPU = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


def advice(settings: Any, error: Exception) -> list[str]:
    """The overrides, in their order."""
    assert is_out_of_memory(error)
    found = out_of_memory_advice(settings, str(error)).split("in this order:")[1]
    return re.findall(r"[a-z_]+\.[a-z_]+(?:=\w+)?", found)


def test_what_costs_least_comes_first(tiny: Tiny) -> None:
    settings = tiny_settings(tiny.model, train__gradient_accumulation_steps=2, train__prefix_sharing=False)
    expected = [
        "train.activation_checkpointing=true",
        "train.per_device_train_batch_size=2",
        "train.gradient_accumulation_steps=4",
        "train.prefix_sharing=true",
        "model.dtype=bfloat16",
        "train.zero_stage=3",
        "train.max_text_tokens",
    ]
    for error in (torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError(OF_THE_CPU)):
        assert advice(settings, error) == expected


def test_what_is_set_already_is_not_advised(tiny: Tiny) -> None:
    settings = tiny_settings(
        tiny.model, train__per_device_train_batch_size=1, train__activation_checkpointing=True, train__zero_stage=3,
        model__dtype="bfloat16",
    )  # fmt: skip
    assert advice(settings, torch.OutOfMemoryError("CUDA out of memory.")) == ["train.max_text_tokens"]


def test_other_errors_stay_themselves() -> None:
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_a_training_that_runs_out_says_so(tiny: Tiny, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdpo.training.trainer import LoraDPOTrainer

    def greedy(*args: Any, **kwargs: Any) -> Any:
        return torch.empty(1 << 60)  # an exbibyte and more

    monkeypatch.setattr(LoraDPOTrainer, "_compute_loss", greedy)
    with pytest.raises(UserError, match=r"Out of memory: .*train\.activation_checkpointing=true"):
        train_adapter(
            tiny_settings(tiny.model), tiny.pairs, tiny.images, tmp_path,
            lambda metrics, step: None, lambda step: None,
        )  # fmt: skip


def test_the_peak_is_in_gib() -> None:
    block = torch.ones(1 << 26, device=device())  # a quarter of a GiB
    assert 0.25 <= peak_memory() < 64
    del block
