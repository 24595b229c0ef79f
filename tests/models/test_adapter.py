"""Loading an adapter: all of its weights have a place, all places get a weight, and it has an effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmdpo.config.schema import LoraConfig, ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.adapter import merged
from mmdpo.models.adapter_files import check_adapter_header
from mmdpo.models.loading import load_model
from tests.support.tiny import save_tiny_llava

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(tiny: Path) -> ModelConfig:
    return ModelConfig("tiny", str(tiny), dtype="float32", train_projector=True, lora=LoraConfig(4, 8, 0.0))


@pytest.fixture
def adapter(model: ModelConfig, tmp_path: Path) -> Path:
    """An adapter with an effect, as the training writes it."""
    from peft import get_peft_model

    from mmdpo.training.lora import lora
    from mmdpo.training.trainer import save_adapter

    base = load_model(model.path, "float32")
    adapted = get_peft_model(base, lora(base, model))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    save_adapter(adapted, str(tmp_path / "adapter"))
    return tmp_path / "adapter"


def change_weights(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


def change_config(folder: Path, **values: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_fitting_adapter_changes_the_model(model: ModelConfig, adapter: Path) -> None:
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        before, after = load_model(model.path, "float32")(input_ids=ids), merged(model, adapter)(input_ids=ids)
    assert (after.logits - before.logits).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda weights: {name.replace("layers", "blocks"): one for name, one in weights.items()}, "28 weights are "),
        (lambda weights: {name: one for name, one in weights.items() if "lora_B" in name}, "18 weights are missing"),
        (lambda weights: {name: one for name, one in weights.items() if "projector" not in name}, "4 weights are mis"),
        (lambda weights: {**weights, "base_model.model.head.lora_A.weight": torch.ones(4, 4)}, "1 of 33 have no"),
        (lambda weights: {name: one[:2] if "lora_A" in name else one for name, one in weights.items()}, "14 weights h"),
        (lambda weights: {name: one * 0 for name, one in weights.items()}, "all of its 14 lora_B weights are zero"),
        (lambda weights: {name: one / 0 for name, one in weights.items()}, "32 of 32 weights hold NaN"),
    ],
    ids=["other names", "half", "no projector", "more", "other rank", "untrained", "not finite"],
)
def test_weights_that_do_not_fit_are_counted(
    model: ModelConfig, adapter: Path, change: Callable[[Weights], Weights], counts: str
) -> None:
    change_weights(adapter, change)
    with pytest.raises(UserError) as caught:
        merged(model, adapter)
    assert counts in str(caught.value)
    assert str(adapter) in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"r": 8}, "28 weights have another shape"),
        ({"target_modules": ".*"}, "does not fit model.path="),
        ({"target_modules": ".*("}, "Type generator.adapter="),
        ({"target_modules": "nothing"}, "does not fit model.path="),
        ({"target_modules": ["q_proj"]}, "have no place"),
        ({"target_modules": r".*(q_proj|k_proj|v_proj|o_proj|out_proj|gate_proj|up_proj|down_proj)"}, "are missing"),
        ({"peft_type": "PREFIX_TUNING"}, "only adapters of the type LORA"),
        ({"some_new_variant": True}, "would ignore some_new_variant"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    model: ModelConfig, adapter: Path, values: dict[str, object], words: str
) -> None:
    change_config(adapter, **values)
    with pytest.raises(UserError) as caught:
        merged(model, adapter)
    assert words in str(caught.value)


def test_a_header_is_checked_without_the_weights(adapter: Path) -> None:
    check_adapter_header(adapter)
    change_weights(
        adapter, lambda weights: {name: one[:2] if "lora_A" in name else one for name, one in weights.items()}
    )
    with pytest.raises(UserError, match=r"rank 2, .* r=4"):
        check_adapter_header(adapter)
    change_weights(adapter, lambda weights: {"head.weight": torch.ones(2)})
    with pytest.raises(UserError, match=r"no weights of LoRA"):
        check_adapter_header(adapter)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("length", [0, 100])
def test_a_torn_file_is_named(model: ModelConfig, adapter: Path, name: str, length: int) -> None:
    (adapter / name).write_bytes((adapter / name).read_bytes()[:length])
    with pytest.raises(UserError, match=name):
        merged(model, adapter)
    with pytest.raises(UserError, match=name):
        check_adapter_header(adapter)
