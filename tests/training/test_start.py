"""Training from an adapter: where it starts, its reference, and one adapter that holds both changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model

from mmdpo.config.choices import AdapterUse, ReferenceModel
from mmdpo.config.schema import LoraConfig, ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.adapter import merged
from mmdpo.models.loading import load_model
from mmdpo.training.lora import lora
from mmdpo.training.resume import run_fingerprint
from mmdpo.training.run import train_adapter
from mmdpo.training.start import StartAdapter, describe_start
from mmdpo.training.trainer import save_adapter
from tests.support.tiny import Tiny, tiny_settings


def random_adapter(model: ModelConfig, folder: Path, base: Any = None) -> Any:
    """Write a random adapter on a base; returns the model with it."""
    base = load_model(model.path, "float32", own_weights=True) if base is None else base
    found = get_peft_model(base, lora(base, model))
    for name, weight in found.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(weight, std=0.05)
    save_adapter(found, str(folder))
    return found.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(
            input_ids=torch.tensor([[2, 4, 4, 4, 4, 8, 9, 10]]),
            pixel_values=torch.linspace(-1, 1, 3 * 24 * 24).view(1, 3, 24, 24),
        ).logits
    return found


@pytest.fixture
def model(tiny: Tiny) -> ModelConfig:
    return ModelConfig("tiny", str(tiny.model), dtype="float32", lora=LoraConfig(4, 8, 0.0))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"lora": LoraConfig(3, 7, 0.0), "train_projector": True}, {}),
        ({}, {"train_projector": True}),
        ({"train_projector": True}, {"train_projector": True, "lora": LoraConfig(2, 64, 0.0)}),
    ],
    ids=["same", "projector before", "projector now", "projector twice"],
)
def test_one_adapter_holds_the_merged_one_and_the_new_one(
    model: ModelConfig, tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    random_adapter(dataclasses.replace(model, **first), tmp_path / "first")
    before = logits(merged(model, tmp_path / "first"))
    both = dataclasses.replace(model, adapter=str(tmp_path / "first"), adapter_use=AdapterUse.merge, **second)
    start = StartAdapter(both)
    trained = random_adapter(both, tmp_path / "both", start.load())
    start.begin(trained)
    start.finish(trained, tmp_path / "both")
    expected = logits(trained)
    torch.testing.assert_close(logits(merged(model, tmp_path / "both")), expected, rtol=0, atol=2e-5)
    assert (before - expected).abs().max() > 1e-2


@pytest.mark.parametrize("use", [AdapterUse.train, AdapterUse.merge])
@pytest.mark.parametrize("reference", ReferenceModel)
def test_the_first_step_begins_at_the_start(
    tiny: Tiny, model: ModelConfig, tmp_path: Path, use: AdapterUse, reference: ReferenceModel
) -> None:
    random_adapter(model, tmp_path / "first")
    settings = tiny_settings(
        tiny.model,
        model__lora=LoraConfig(4, 8, 0.0),
        model__adapter=str(tmp_path / "first"),
        model__adapter_use=use,
        method__reference=reference,
        train__num_train_epochs=1.0,
        lr=1e-3,
    )
    steps: list[dict[str, float]] = []
    summary = train_adapter(
        settings, tiny.pairs, tiny.images, tmp_path, lambda metrics, step: steps.append(metrics), lambda step: None
    )
    rewards = abs(steps[0]["rewards/chosen"]) + abs(steps[0]["rewards/rejected"])
    assert rewards < 1e-5 if reference is ReferenceModel.start else rewards > 1e-3
    assert summary.start == {**summary.start, "use": use.value, "reference": reference.value}
    started = logits(merged(model, tmp_path / "first"))
    moved = (logits(merged(model, tmp_path / "adapter")) - started).abs().max()
    assert 0 < moved < (logits(load_model(model.path, "float32")) - started).abs().max() / 2


def test_a_training_without_effect_is_refused(tiny: Tiny, model: ModelConfig, tmp_path: Path) -> None:
    random_adapter(model, tmp_path / "first")
    settings = tiny_settings(
        tiny.model, model__lora=LoraConfig(4, 8, 0.0), model__adapter=str(tmp_path / "first"), lr=1e-30
    )
    with pytest.raises(UserError, match="lr="):
        train_adapter(settings, tiny.pairs, tiny.images, tmp_path, lambda *_: None, lambda _: None)
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize(
    ("now", "typed"),
    [
        ({"lora": LoraConfig(8, 8, 0.0)}, "model.lora.r=4"),
        ({"lora": LoraConfig(4, 4, 0.0)}, "model.lora.lora_alpha=8"),
        ({"train_projector": True}, "type model.train_projector=false"),
    ],
)
def test_a_lora_of_another_shape_is_not_trained_further(
    model: ModelConfig, tmp_path: Path, now: dict[str, Any], typed: str
) -> None:
    random_adapter(model, tmp_path / "first")
    other = dataclasses.replace(model, adapter=str(tmp_path / "first"), **now)
    start = StartAdapter(other)
    base = start.load()
    with pytest.raises(UserError, match=typed):
        start.begin(get_peft_model(base, lora(base, other)))


def test_a_checkpoint_belongs_to_its_start(tiny: Tiny, model: ModelConfig, tmp_path: Path) -> None:
    settings = tiny_settings(tiny.model)
    assert describe_start(settings) == {}
    random_adapter(model, tmp_path / "first")
    runs = {run_fingerprint(settings, "weights", "data")}
    for use in (AdapterUse.train, AdapterUse.merge):
        for reference in ReferenceModel:
            started = tiny_settings(
                tiny.model,
                model__adapter=str(tmp_path / "first"),
                model__adapter_use=use,
                method__reference=reference,
            )
            runs.add(run_fingerprint(started, "weights", "data"))
    assert len(runs) == 5
