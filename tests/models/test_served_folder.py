"""The folder that a server loads: links to the weights, and the processor that prompts are made with here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdpo.config.schema import ModelConfig
from mmdpo.models.causal import load_text_processor
from mmdpo.models.loading import load_processor
from mmdpo.models.served_folder import served_folder
from tests.support.tiny import TEMPLATE, save_tiny_causal, save_tiny_llava


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))


def test_a_vision_language_model_is_served_with_the_configured_template_and_padding(tmp_path: Path) -> None:
    source = save_tiny_llava(tmp_path / "tiny")
    plain = ModelConfig("tiny", str(source))
    assert served_folder(plain) == str(source)
    chosen = ModelConfig("tiny", str(source), chat_template="vicuna_v1", pad_to_square=True)
    folder = Path(served_folder(chosen))
    assert (folder / "model.safetensors").resolve() == (source / "model.safetensors").resolve()
    processor = load_processor(ModelConfig("served", str(folder)))
    assert processor.chat_template == load_processor(chosen).chat_template != load_processor(plain).chat_template
    assert processor.image_processor.do_pad
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llava"
    (folder / "model.safetensors").unlink()  # as if the making was interrupted
    assert Path(served_folder(chosen)) == folder
    assert (folder / "model.safetensors").exists()


def test_a_text_only_model_keeps_a_template_of_its_own(tmp_path: Path) -> None:
    source, own = save_tiny_causal(tmp_path / "tiny"), save_tiny_causal(tmp_path / "own", TEMPLATE)
    chosen = ModelConfig("tiny", str(source), chat_template="vicuna_v1")
    folder = Path(served_folder(chosen, text_only=True))
    found = load_text_processor(ModelConfig("served", str(folder)))
    assert found.chat_template == load_text_processor(chosen).chat_template
    assert (folder / "model.safetensors").is_symlink()
    assert served_folder(ModelConfig("own", str(own), chat_template="vicuna_v1"), text_only=True) == str(own)
