"""Configuration of 4-bit bases, and what keeps its weights."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
import torch

from mmdpo.config.schema import ModelConfig
from mmdpo.models.quantization import base_settings, load_training_base, outside_of_decoder, quantization_config
from tests.support.tiny import save_tiny_llava


def test_only_the_language_model_is_quantized(tmp_path: Path) -> None:
    assert outside_of_decoder(str(save_tiny_llava(tmp_path))) == [
        "lm_head",
        "model.multi_modal_projector",
        "model.vision_tower",
    ]


def test_the_configuration_is_qloras(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.50.2" if name == "bitsandbytes" else version(name)
    )
    made = quantization_config("fp4", torch.bfloat16, ["lm_head"])
    assert made.quantization_method() == "fp4"
    assert made.bnb_4bit_use_double_quant
    assert made.bnb_4bit_compute_dtype == torch.bfloat16
    assert made.llm_int8_skip_modules == ["lm_head"]


def test_defaults_are_no_settings_of_the_base() -> None:
    assert base_settings(ModelConfig("m", "m")) == {}
    given = ModelConfig("m", "m", quantization="nf4", attn_implementation="eager")
    assert base_settings(given) == {"quantization": "nf4", "attn_implementation": "eager"}


def test_attention_is_that_of_the_setting(tmp_path: Path) -> None:
    folder = str(save_tiny_llava(tmp_path))
    for name, used in (("auto", "sdpa"), ("eager", "eager")):
        model = load_training_base(ModelConfig("m", folder, dtype="float32", attn_implementation=name))
        assert model.config._attn_implementation == used
