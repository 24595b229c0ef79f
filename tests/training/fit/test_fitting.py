"""A training that fits its device: the same numbers from other batches, smaller ones when memory runs out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmdpo.errors import UserError
from mmdpo.training.fit.fitting import FILE
from mmdpo.training.run import TrainSummary, train_adapter
from mmdpo.training.trainer import LoraDPOTrainer
from tests.support.tiny import Tiny, tiny_settings

pytestmark = pytest.mark.long

ROWS = 12


def train(tiny: Tiny, folder: Path, rows: int = ROWS, **overrides: Any) -> tuple[TrainSummary, list[float]]:
    """Train two epochs, in steps of 3 x 3 rows unless told otherwise. Returns the summary and the losses."""
    losses: dict[int, float] = {}
    overrides = {"train__per_device_train_batch_size": 3, "train__gradient_accumulation_steps": 3} | overrides
    overrides |= {"train__num_train_epochs": 2.0, "train__warmup_ratio": 0.0}
    settings = tiny_settings(tiny.model, **overrides)
    summary = train_adapter(
        settings, tiny.pairs[:rows], tiny.images, folder,
        lambda metrics, step: losses.update({step: metrics["loss"]}), lambda step: None,
    )  # fmt: skip
    return summary, [losses[step] for step in sorted(losses)]


def assert_equal(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (one, other))
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=1e-3, atol=1e-5)


def test_a_small_device_gets_small_batches_and_the_same_numbers(tiny: Tiny, tmp_path: Path) -> None:
    uneven = {"rows": 11, "train__gradient_accumulation_steps": 2}  # the last step has 3 and 2 rows
    usual, losses = train(tiny, tmp_path / "usual", **uneven)
    assert usual.fit == {}
    fitted, fitted_losses = train(tiny, tmp_path / "fitted", **uneven, train__memory_gib=0.0005)
    assert fitted.fit["per_device_train_batch_size"] == 1
    assert fitted.fit["gradient_accumulation_steps"] == 6
    assert fitted.fit["activation_checkpointing"] is True
    assert (fitted.steps, fitted_losses) == (usual.steps, pytest.approx(losses, abs=1e-5))
    assert_equal(tmp_path / "usual", tmp_path / "fitted")


def test_memory_that_runs_out_continues_with_smaller_batches(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, losses = train(tiny, tmp_path / "usual", train__gradient_accumulation_steps=1, train__save_steps=2)
    compute, steps = LoraDPOTrainer._compute_loss, []

    def greedy(self: Any, model: Any, inputs: Any, return_outputs: bool) -> Any:
        steps.append(self.state.global_step)
        if self.state.global_step == 5 and len(inputs["rows"]) > 1:
            raise MemoryError("no more")
        return compute(self, model, inputs, return_outputs)

    monkeypatch.setattr(LoraDPOTrainer, "_compute_loss", greedy)
    done, own = train(
        tiny, tmp_path / "own", train__gradient_accumulation_steps=1, train__save_steps=2, train__memory_gib=1.0
    )
    assert done.fit["out_of_memory"] == 1
    assert (done.fit["per_device_train_batch_size"], done.fit["gradient_accumulation_steps"]) == (1, 3)
    assert steps[:7] == [0, 1, 2, 3, 4, 5, 4]  # from the checkpoint of step 4
    assert own == pytest.approx(losses, abs=1e-5)
    assert_equal(tmp_path / "usual", tmp_path / "own")


def test_a_plan_stays_until_the_end_and_typed_values_always(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(self: Any, model: Any, inputs: Any, return_outputs: bool) -> Any:
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(LoraDPOTrainer, "_compute_loss", greedy)
        with pytest.raises(UserError, match=r"a smaller train\.max_text_tokens"):
            train(tiny, tmp_path, train__memory_gib=1.0, train__fit_keeps=["gradient_accumulation_steps"])
    kept = json.loads((tmp_path / "checkpoints" / FILE).read_text())
    assert kept["plan"]["per_device_train_batch_size"] == 3
    assert (kept["out_of_memory"], kept["plan"]["activation_checkpointing"]) == (1, True)
    summary, _ = train(tiny, tmp_path, train__memory_gib=1.0)
    assert summary.fit["activation_checkpointing"] is True
    assert summary.fit["out_of_memory"] == 1
