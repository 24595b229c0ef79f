"""Loading models, and what names their content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models import loading
from mmdpo.models.loading import (
    load_model,
    load_processor,
    processor_fingerprint,
    torch_dtype,
    weights_fingerprint,
)
from tests.support.tiny import save_tiny_llava


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


def test_dtypes() -> None:
    assert torch_dtype("auto") == (torch.bfloat16 if torch.cuda.is_available() else torch.float32)
    assert torch_dtype("bfloat16") == torch.bfloat16
    with pytest.raises(UserError, match="model.dtype=int8"):
        torch_dtype("int8")


def test_model_and_processor_load(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    model, processor = load_model(str(tiny), "float32"), load_processor(ModelConfig(path=str(tiny)))
    assert model.dtype == torch.float32 and not model.training
    assert model.config._attn_implementation == "sdpa"
    assert processor.tokenizer.pad_token == "<pad>"
    assert capfd.readouterr() == ("", "")


def test_weights_in_pickle_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "pickled"))
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="model.path="):
        load_model(str(folder), "float32")


def test_a_folder_without_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="model.path="):
        load_processor(ModelConfig(path=str(tmp_path)))


def test_fingerprints_follow_the_content(tiny: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    weights, processor = weights_fingerprint(str(tiny)), processor_fingerprint(ModelConfig(path=str(tiny)))
    assert (weights_fingerprint(str(copy)), processor_fingerprint(ModelConfig(path=str(copy)))) == (
        weights,
        processor,
    )

    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert processor_fingerprint(ModelConfig(path=str(copy))) != processor
    assert weights_fingerprint(str(copy)) == weights

    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "vision_feature_layer": -1}))
    assert weights_fingerprint(str(copy)) != weights

    save_tiny_llava(copy, seed=1)
    shutil.copy(tiny / "config.json", copy)
    assert weights_fingerprint(str(copy)) != weights


def test_the_digest_of_a_large_file_is_remembered(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = weights_fingerprint(str(tiny))
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    monkeypatch.setattr(loading, "LARGE", 0)
    assert weights_fingerprint(str(tiny)) == plain
    monkeypatch.setattr(loading.hashlib, "file_digest", None)
    assert weights_fingerprint(str(tiny)) == plain
