"""A projector trained in addition to LoRA: its learning rate, its place in the adapter, and the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmdpo.models.loading import load_model, load_processor
from mmdpo.training.collate import Collator
from mmdpo.training.prefix import to_device
from mmdpo.training.reference import reference
from mmdpo.training.rows import tokenize_examples
from mmdpo.training.run import train_adapter
from mmdpo.training.scoring import scoring
from tests.support.tiny import Tiny, tiny_settings


def trained(tiny: Tiny, folder: Path, **overrides: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    from safetensors.torch import load_file

    settings = tiny_settings(tiny.model, model__train_projector=True, **overrides)
    train_adapter(settings, tiny.pairs, tiny.images, folder, lambda metrics, step: None, lambda step: None)
    return settings, load_file(folder / "adapter/adapter_model.safetensors")


def chosen_log_probs(model: Any, settings: Any, tiny: Tiny) -> list[float]:
    """Summed log-probs of each pair's chosen answer."""
    processor = load_processor(settings.model)
    rows = tokenize_examples(tiny.pairs, tiny.images, processor, settings.train).rows
    batch = to_device(Collator(processor, shared=False)(rows), torch.device("cpu"))
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    with scoring(base) as scorer, torch.no_grad():
        sums = scorer(base, batch).log_probs.sum(dim=1)
    return list(sums[: len(rows)].tolist())


def test_training_it_leaves_the_reference_where_it_was(tiny: Tiny, tmp_path: Path) -> None:
    from peft import PeftModel

    settings, weights = trained(tiny, tmp_path, model__projector_lr=1e-1)
    assert {name.split(".")[-2] for name in weights if "projector" in name} == {"linear_1", "linear_2"}
    reference_logps = reference(settings.model, settings.train, tiny.pairs, tiny.images)
    before = [reference_logps.of(pair)[0].sum for pair in tiny.pairs]
    model = PeftModel.from_pretrained(load_model(settings.model.path, "float32"), str(tmp_path / "adapter"))
    model.eval()
    after = chosen_log_probs(model, settings, tiny)
    with model.disable_adapter():
        untouched = chosen_log_probs(model, settings, tiny)
    assert untouched == pytest.approx(before, abs=1e-5)
    assert max(abs(new - old) for new, old in zip(after, before, strict=True)) > 1e-2


def test_it_learns_in_float32_beside_a_base_in_bfloat16(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    base = load_file(tiny.model / "model.safetensors")
    _, weights = trained(tiny, tmp_path, model__dtype="bfloat16", model__projector_lr=1e-5, train__num_train_epochs=3.0)
    found = {name: value for name, value in weights.items() if "projector" in name and "weight" in name}
    assert len(found) == 2
    for name, value in found.items():
        key = next(key for key in base if key.endswith(".".join(name.split(".")[-3:])))
        assert value.dtype == torch.float32
        moved = (value != base[key].bfloat16().float()).float().mean()
        assert moved > 0.9  # in bfloat16 most steps are too small to count


def test_it_learns_at_a_rate_of_its_own(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    base = load_file(tiny.model / "model.safetensors")
    key = next(name for name in base if name.endswith("multi_modal_projector.linear_1.weight"))
    moved, lora = {}, {}
    for rate in (1e-12, 1e-2):
        _, weights = trained(tiny, tmp_path / str(rate), lr=1e-12, model__projector_lr=rate)
        found = next(value for name, value in weights.items() if name.endswith("projector.linear_1.weight"))
        moved[rate] = float((found - base[key]).abs().max())
        lora[rate] = max(float(value.abs().max()) for name, value in weights.items() if "lora_B" in name)
    assert moved[1e-12] < 1e-9
    assert moved[1e-2] > 1e-3
    assert max(lora.values()) < 1e-9


def test_without_it_the_adapter_is_lora_alone(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    train_adapter(
        tiny_settings(tiny.model), tiny.pairs, tiny.images, tmp_path,
        lambda metrics, step: None, lambda step: None,
    )  # fmt: skip
    assert all("lora_" in name for name in load_file(tmp_path / "adapter/adapter_model.safetensors"))
