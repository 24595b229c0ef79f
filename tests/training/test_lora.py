"""LoRA on the language model's linear layers, found by structure."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    PretrainedConfig,
    Qwen2VLConfig,
)

from mmdpo.config.schema import LoraConfig, ModelConfig
from mmdpo.training.lora import lora, target_names, target_pattern

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def llava() -> PretrainedConfig:
    vision = CLIPVisionConfig(**SHAPE, image_size=24, patch_size=12)
    text = LlamaConfig(**SHAPE, vocab_size=64)
    return LlavaConfig(vision_config=vision, text_config=text, image_token_id=4)


def qwen() -> PretrainedConfig:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    text = {**SHAPE, "vocab_size": 64, "num_key_value_heads": 2, "rope_parameters": rope}
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 4, "hidden_size": 32}
    return Qwen2VLConfig(text_config=text, vision_config=vision)


@pytest.mark.parametrize("config", [llava, qwen])
def test_every_linear_layer_of_the_language_model_and_no_other(config: object) -> None:
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config())
    names = target_names(model)
    assert len(names) == SHAPE["num_hidden_layers"] * 7  # q k v o, gate up down
    assert all(name.startswith("model.language_model.layers.") for name in names)
    matched = [name for name, _ in model.named_modules() if re.fullmatch(target_pattern(model), name)]
    assert sorted(matched) == names


def test_peft_adapts_exactly_these() -> None:
    from peft import get_peft_model
    from peft.tuners.lora import LoraLayer

    model = AutoModelForImageTextToText.from_config(llava())
    names = target_names(model)
    adapted = get_peft_model(model, lora(model, ModelConfig(lora=LoraConfig(4, 8, 0.0))))
    found = [name for name, module in adapted.named_modules() if isinstance(module, LoraLayer)]
    assert sorted(name.removeprefix("base_model.model.") for name in found) == names
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * len(names)
    assert all("lora_" in name for name in trained)


def test_dora_leaves_out_layers_with_rows_of_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    """PEFT's DoRA divides by the norms of rows."""
    from peft import get_peft_model

    model = AutoModelForImageTextToText.from_config(llava())
    first, *others = target_names(model)
    model.get_submodule(first).weight.data[1] = 0
    adapted = get_peft_model(model, lora(model, ModelConfig(lora=LoraConfig(4, 8, 0.0, use_dora=True))))
    found = {name.partition(".lora_A")[0] for name, _ in adapted.named_parameters() if ".lora_A" in name}
    assert found == {f"base_model.model.{name}" for name in others}
    assert first in capsys.readouterr().out


@pytest.mark.parametrize(("setting", "trained", "scale"), [("use_rslora", 2, 4.0), ("use_dora", 3, 2.0)])
def test_variants_are_pefts(setting: str, trained: int, scale: float) -> None:
    """rsLoRA scales by alpha / sqrt(r), 8 / 2; DoRA trains a vector of magnitudes beside A and B."""
    from peft import get_peft_model
    from peft.tuners.lora import LoraLayer

    model = AutoModelForImageTextToText.from_config(llava())
    config = LoraConfig(4, 8, 0.0)
    setattr(config, setting, True)
    adapted = get_peft_model(model, lora(model, ModelConfig(lora=config)))
    weights = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len(weights) == trained * SHAPE["num_hidden_layers"] * 7
    layer = next(module for module in adapted.modules() if isinstance(module, LoraLayer))
    assert layer.scaling["default"] == scale
