"""Patterns of an adapter that cannot be matched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models import bounded
from mmdpo.models.adapter import merged
from mmdpo.models.adapter_patterns import require_quick_patterns
from mmdpo.models.loading import load_model
from mmdpo.training.lora import lora
from tests.support.tiny import save_tiny_llava

NAMES = ["model.language_model.layers.0.self_attn.q_proj", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"]


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", "v_proj"], "modules_to_save": None},
        {"target_modules": r"model\.language_model\.layers\.\d+\.self_attn\.q_proj", "rank_pattern": {"q_.*": 4}},
        {},
    ],
)
def test_patterns_that_pass(config: dict[str, Any]) -> None:
    require_quick_patterns("FOLDER", config, NAMES)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"target_modules": "(a+)+b"}, "target_modules.*more than 0.2 seconds"),
        ({"target_modules": ["q_proj"], "exclude_modules": "(a|a)*b"}, "exclude_modules.*more than 0.2 seconds"),
        ({"rank_pattern": {"(a*)*b": 4}}, "rank_pattern.*more than 0.2 seconds"),
        ({"target_modules": "("}, "target_modules is not a regular expression"),
    ],
)
def test_patterns_that_are_refused(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], reason: str) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.2)
    with pytest.raises(UserError, match=rf"FOLDER/adapter_config\.json: .*{reason}.*generator\.adapter="):
        require_quick_patterns("FOLDER", config, NAMES)


def test_an_adapter_whose_pattern_hangs_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import get_peft_model

    config = ModelConfig(path=str(save_tiny_llava(tmp_path / "model")), dtype="float32")
    base = load_model(config.path, "float32")
    adapted = get_peft_model(base, lora(base, config))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data += 0.1
    adapted.save_pretrained(tmp_path / "adapter")
    assert merged(config, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "target_modules": r"([\w.]+)+!"}))
    monkeypatch.setattr(bounded, "SECONDS", 0.2)
    with pytest.raises(UserError, match=r"target_modules.*more than 0\.2 seconds"):
        merged(config, tmp_path / "adapter")
