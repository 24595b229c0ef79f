"""The trainer's numbers, compared with stock TRL's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from mmdpo.config.choices import TrainOn
from mmdpo.errors import UserError
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.messages import to_answer, to_messages
from mmdpo.records import PreferencePair, SftExample
from mmdpo.training.lora import lora
from mmdpo.training.run import train_adapter
from mmdpo.training.trl_config import dpo_config, sft_config, trl_losses
from tests.support.tiny import Tiny, tiny_settings

SAME = (
    "loss", "grad_norm", "learning_rate", "rewards/chosen", "rewards/rejected", "rewards/margins",
    "logps/chosen", "logps/rejected", "entropy", "logits/chosen", "mean_token_accuracy",
)  # fmt: skip


def stock(
    tiny: Tiny, settings: Any, folder: Path, examples: Sequence[Any]
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Plain TRL on its own form of the examples, references live: the log of each step, and the adapter."""
    from datasets import Dataset
    from peft import get_peft_model_state_dict
    from trl import DPOTrainer, SFTTrainer

    preferences = isinstance(examples[0], PreferencePair)
    columns = {"chosen": "chosen", "rejected": "rejected"} if preferences else {"completion": "answer"}
    data = Dataset.from_list(
        [
            {
                "images": [Image.open(tiny.images / name).convert("RGB") for name in example.images],
                "prompt": to_messages(example),
                **{name: to_answer(getattr(example, field)) for name, field in columns.items()},
            }
            for example in examples
        ]
    )
    with suppress_library_output():
        model = load_model(settings.model.path, settings.model.dtype)
        trainer = (DPOTrainer if preferences else SFTTrainer)(
            model,
            args=(dpo_config if preferences else sft_config)(settings, folder),
            train_dataset=data,
            processing_class=load_processor(settings.model),
            peft_config=lora(model, settings.model),
        )
        trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return steps, get_peft_model_state_dict(trainer.model)


def ours(tiny: Tiny, settings: Any, folder: Path, examples: Sequence[Any] | None = None) -> list[dict[str, float]]:
    logged: list[dict[str, float]] = []
    train_adapter(
        settings, examples or tiny.pairs, tiny.images, folder,
        lambda metrics, step: logged.append(metrics), lambda step: None,
    )  # fmt: skip
    return logged


def assert_same(logged: list[dict[str, float]], expected: list[dict[str, float]], names: Sequence[str]) -> None:
    """Assert the same numbers in each step."""
    assert len(logged) == len(expected)
    for ours_step, stock_step in zip(logged, expected, strict=True):
        for name in names:
            assert ours_step[name] == pytest.approx(stock_step[name], abs=1e-6, rel=1e-5), name


def assert_same_adapter(folder: Path, expected: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import load_file

    found = load_file(folder / "adapter/adapter_model.safetensors")
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name].cpu(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize(
    "overrides",
    [
        {"train__num_train_epochs": 3.0},
        {"logprob_avg": True},
        {"method__loss_type": "ipo", "train__activation_checkpointing": True},
        {"method__loss_type": "robust", "method__label_smoothing": 0.1},
        {
            "train__per_device_train_batch_size": 2,
            "train__gradient_accumulation_steps": 2,
            "train__lr_scheduler_type": "linear",
        },
        {
            "method__loss_type": None,
            "method__losses": {"sigmoid": 0.8, "bco_pair": 0.2, "sft": 1.0},
            "train__per_device_train_batch_size": 2,
            "train__gradient_accumulation_steps": 2,
        },
        {
            "method__loss_type": None,
            "method__losses": {"sigmoid": 1.0, "ipo": 0.5},
            "logprob_avg": True,
            "train__trl": {"f_divergence_type": "js_divergence", "use_weighting": True, "adam_beta2": 0.9},
        },
    ],
)
def test_every_step_equals_stock_trl(tiny: Tiny, tmp_path: Path, overrides: dict[str, Any], sharing: bool) -> None:
    settings = tiny_settings(tiny.model, train__prefix_sharing=sharing, **overrides)
    expected, adapter = stock(tiny, settings, tmp_path / "stock", tiny.pairs)
    logged = ours(tiny, settings, tmp_path / "ours")
    assert len(logged) == 3 * settings.train.num_train_epochs  # 9 at most
    assert_same(logged, expected, SAME)
    assert logged[-1]["rewards/accuracies"] == expected[-1]["rewards/accuracies"]  # earlier: ties at zero
    assert logged[-1]["rewards/margins"] != 0
    assert_same_adapter(tmp_path / "ours", adapter)


@pytest.mark.parametrize(
    "overrides",
    [
        {"train__num_train_epochs": 3.0},
        {"train__per_device_train_batch_size": 2, "train__gradient_accumulation_steps": 2},
    ],
)
def test_every_step_of_sft_equals_stock_trl(tiny: Tiny, tmp_path: Path, overrides: dict[str, Any]) -> None:
    settings = tiny_settings(
        tiny.model, method__loss_type=None, method__train_on=TrainOn.best_completion, beta=None, **overrides
    )
    examples = [SftExample(pair.id, pair.question, pair.chosen, pair.images) for pair in tiny.pairs]
    expected, adapter = stock(tiny, settings, tmp_path / "stock", examples)
    logged = ours(tiny, settings, tmp_path / "ours", examples)
    assert len(logged) == 3 * settings.train.num_train_epochs
    assert_same(logged, expected, ("loss", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy"))
    assert_same_adapter(tmp_path / "ours", adapter)


def test_speed_counts_from_the_first_batch(tiny: Tiny, tmp_path: Path) -> None:
    for step in ours(tiny, tiny_settings(tiny.model), tmp_path):
        assert step["rows_per_second"] > 0.1
        assert step["tokens_per_second"] > step["rows_per_second"]


def test_chosen_answers_below_the_reference_are_counted(tiny: Tiny, tmp_path: Path) -> None:
    """One pair per step, so that the share is 0 or 1 and shows the sign of its reward."""
    logged = ours(tiny, tiny_settings(tiny.model, train__per_device_train_batch_size=1), tmp_path)
    shares = {step["logps/chosen_below_reference"] for step in logged[1:]}
    assert shares == {0.0, 1.0}
    for step in logged[1:]:
        assert step["logps/chosen_below_reference"] == (step["rewards/chosen"] < 0)


@pytest.mark.parametrize("average", [False, True])
def test_the_first_step_is_at_ln_2(tiny: Tiny, tmp_path: Path, average: bool) -> None:
    (first, *_) = ours(tiny, tiny_settings(tiny.model, logprob_avg=average), tmp_path)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-6)


def test_the_loss_of_a_step_by_hand(tiny: Tiny, tmp_path: Path) -> None:
    """-log sigmoid(margin), one pair per step, so that TRL's mean over the batch is that of the pair."""
    logged = ours(tiny, tiny_settings(tiny.model, train__per_device_train_batch_size=1), tmp_path)
    assert len(logged) == len(tiny.pairs)
    for step in logged:
        assert step["loss"] == pytest.approx(math.log1p(math.exp(-step["rewards/margins"])), abs=1e-6)


def test_names_of_losses(tiny: Tiny) -> None:
    assert trl_losses(tiny_settings(tiny.model)) == {"sigmoid": 1.0}
    assert trl_losses(tiny_settings(tiny.model, logprob_avg=True)) == {"sigmoid_norm": 1.0}
    assert trl_losses(tiny_settings(tiny.model, method__loss_type="hinge", logprob_avg=True)) == {"hinge": 1.0}
    mixed = tiny_settings(
        tiny.model, method__loss_type=None, method__losses={"sigmoid": 0.5, "sft": 1.0}, logprob_avg=True
    )
    assert trl_losses(mixed) == {"sft": 1.0, "sigmoid_norm": 0.5}


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
        ours(tiny, tiny_settings(tiny.model, train__save_steps=1), tmp_path)
    assert "lr=" in str(raised.value)
    assert ("pair-" in str(raised.value)) is (what == "loss")
    assert not (tmp_path / "adapter").exists()


def test_deepspeeds_type_is_for_the_models_inputs_alone() -> None:
    """A sum of log-probs would be rounded to 2 if it is above 256."""
    from mmdpo.training.trainer import LoraDPOTrainer

    trainer = object.__new__(LoraDPOTrainer)
    plugin = SimpleNamespace(hf_ds_config=SimpleNamespace(dtype=lambda: torch.bfloat16))
    trainer.args = SimpleNamespace(device=torch.device("cpu"))
    trainer.is_deepspeed_enabled = True
    trainer.accelerator = SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin))
    sums = torch.tensor([-349.3])
    batch = {"model": {"pixel_values": torch.ones(1)}, "ref_chosen_logps": sums, "rows": ["a"], "prefix": 3}
    found = trainer._prepare_inputs(batch)
    assert found["model"]["pixel_values"].dtype == torch.bfloat16
    assert torch.equal(found["ref_chosen_logps"], sums)
    assert found["ref_chosen_logps"].dtype == torch.float32
    assert (found["rows"], found["prefix"]) == (["a"], 3)


def test_a_process_alone_has_one_device(tiny: Tiny, tmp_path: Path) -> None:
    from mmdpo.training.trl_config import dpo_config, sft_config

    for settings in (dpo_config, sft_config):
        made = settings(tiny_settings(tiny.model, train__per_device_train_batch_size=3), tmp_path)
        assert (made.n_gpu, made.train_batch_size) == (1, 3)


def test_of_many_rows_some_are_named(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdpo.training.trainer.MAX_ROWS", 2)
    settings = tiny_settings(tiny.model, lr=1e30, train__per_device_train_batch_size=4)
    with pytest.raises(UserError, match=r"Rows of the batch: pair-\d+, pair-\d+ and 2 more\. Last") as raised:
        ours(tiny, settings, tmp_path)
    assert len(str(raised.value)) < 300
