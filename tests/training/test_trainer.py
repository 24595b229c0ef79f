"""The trainer's numbers are stock TRL's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmdpo.errors import UserError
from mmdpo.models.chat import answer, messages
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.quiet import quiet
from mmdpo.training.lora import lora
from mmdpo.training.run import train
from mmdpo.training.settings import dpo_config, loss_type
from tests.tiny import Tiny, tiny_config

SAME = (
    "loss", "grad_norm", "learning_rate", "rewards/chosen", "rewards/rejected", "rewards/margins",
    "logps/chosen", "logps/rejected", "entropy", "logits/chosen", "mean_token_accuracy",
)  # fmt: skip


def stock(tiny: Tiny, cfg: Any, folder: Path) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Plain TRL with live references: the log of each step, and the adapter."""
    from datasets import Dataset
    from peft import get_peft_model_state_dict
    from trl import DPOTrainer

    data = Dataset.from_list(
        [
            {
                "images": [Image.open(tiny.images / pair.image).convert("RGB")] if pair.image else [],
                "prompt": messages(pair.question, pair.history, pair.image is not None),
                "chosen": answer(pair.chosen),
                "rejected": answer(pair.rejected),
            }
            for pair in tiny.pairs
        ]
    )
    with quiet():
        model = load_model(cfg.model.path, "float32")
        trainer = DPOTrainer(
            model,
            args=dpo_config(cfg, folder),
            train_dataset=data,
            processing_class=load_processor(cfg.model),
            peft_config=lora(model, cfg.model),
        )
        trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return steps, get_peft_model_state_dict(trainer.model)


def ours(tiny: Tiny, cfg: Any, folder: Path) -> list[dict[str, float]]:
    logged: list[dict[str, float]] = []
    train(
        cfg, tiny.pairs, tiny.images, folder, lambda metrics, step: logged.append(metrics), lambda step: None
    )
    return logged


@pytest.mark.parametrize(
    "overrides",
    [
        {"train__epochs": 2.0},
        {"logprob_avg": True},
        {"method__loss": "ipo", "train__gradient_checkpointing": True},
        {"train__batch_size": 2, "train__accumulation": 2, "train__schedule": "linear"},
    ],
)
def test_every_step_equals_stock_trl(tiny: Tiny, tmp_path: Path, overrides: dict[str, Any]) -> None:
    from safetensors.torch import load_file

    cfg = tiny_config(tiny.model, **overrides)
    expected, adapter = stock(tiny, cfg, tmp_path / "stock")
    logged = ours(tiny, cfg, tmp_path / "ours")
    assert len(logged) == len(expected) >= 2
    for ours_step, stock_step in zip(logged, expected, strict=True):
        for name in SAME:
            assert ours_step[name] == pytest.approx(stock_step[name], abs=1e-6, rel=1e-5), name
    assert logged[-1]["rewards/accuracies"] == expected[-1]["rewards/accuracies"]  # earlier: ties at zero
    assert logged[-1]["rewards/margins"] != 0
    for name, value in load_file(tmp_path / "ours/adapter/adapter_model.safetensors").items():
        torch.testing.assert_close(value, adapter[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("average", [False, True])
def test_the_first_step_is_at_ln_2(tiny: Tiny, tmp_path: Path, average: bool) -> None:
    (first, *_) = ours(tiny, tiny_config(tiny.model, logprob_avg=average), tmp_path)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-6)


def test_the_loss_of_a_step_by_hand(tiny: Tiny, tmp_path: Path) -> None:
    """-log sigmoid(margin), one pair a step, so that TRL's mean over the batch is that of the pair."""
    logged = ours(tiny, tiny_config(tiny.model, train__batch_size=1), tmp_path)
    assert len(logged) == len(tiny.pairs)
    for step in logged:
        assert step["loss"] == pytest.approx(math.log1p(math.exp(-step["rewards/margins"])), abs=1e-6)


def test_names_of_losses(tiny: Tiny) -> None:
    assert loss_type(tiny_config(tiny.model)) == "sigmoid"
    assert loss_type(tiny_config(tiny.model, logprob_avg=True)) == "sigmoid_norm"
    assert loss_type(tiny_config(tiny.model, method__loss="hinge", logprob_avg=True)) == "hinge"


@pytest.mark.parametrize("what", ["loss", "gradient norm"])
def test_what_is_not_finite_stops_the_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    from transformers import Trainer
    from trl import DPOTrainer

    name = "_compute_loss" if what == "loss" else "_get_grad_norm"
    owner = DPOTrainer if what == "loss" else Trainer
    real, calls = getattr(owner, name), []

    def poisoned(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        value = real(self, *args, **kwargs)
        return value * float("nan") if len(calls) == 3 else value

    monkeypatch.setattr(owner, name, poisoned)
    with pytest.raises(UserError, match=f"Step 3: the {what} is nan.*checkpoint-2") as raised:
        ours(tiny, tiny_config(tiny.model, train__save_steps=1), tmp_path)
    assert "lr=" in str(raised.value)
    assert ("pair-" in str(raised.value)) is (what == "loss")
    assert not (tmp_path / "adapter").exists()
