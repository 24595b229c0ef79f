"""Loading models."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.loading import load_model, load_processor, torch_dtype
from tests.support.tiny import save_tiny_llava

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


def test_dtypes() -> None:
    assert torch_dtype("auto") == (torch.bfloat16 if torch.cuda.is_available() else torch.float32)
    assert torch_dtype("bfloat16") == torch.bfloat16
    with pytest.raises(UserError, match=r"model\.dtype=int8"):
        torch_dtype("int8")


def test_model_and_processor_load(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    model, processor = load_model(str(tiny), "float32"), load_processor(ModelConfig(path=str(tiny)))
    assert model.dtype == torch.float32
    assert not model.training
    assert model.config._attn_implementation == "sdpa"
    assert processor.tokenizer.pad_token == "<pad>"
    assert capfd.readouterr() == ("", "")


def test_weights_in_pickle_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "pickled"))
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"model\.path="):
        load_model(str(folder), "float32")


def test_every_automatic_class_is_told_to_run_no_code() -> None:
    """Otherwise transformers asks on stdin whether it should."""
    calls = [
        node
        for file in (ROOT / "mmdpo").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and re.fullmatch(r"Auto\w+\.from_pretrained", ast.unparse(node.func))
    ]
    assert len(calls) >= 2
    assert all("trust_remote_code=False" in ast.unparse(call) for call in calls)


def test_a_folder_without_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.path="):
        load_processor(ModelConfig(path=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name, weight: None if "layers.1.mlp" in name else weight, "weights 7 missing, such as model."),
        (lambda name, weight: weight[:2] if "q_proj" in name else weight, "of another shape, such as model."),
    ],
)
def test_a_checkpoint_that_leaves_weights_random_is_refused(
    tiny: Path, tmp_path: Path, change: Callable[[str, torch.Tensor], torch.Tensor | None], words: str
) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    changed = {name: change(name, weight) for name, weight in load_file(tiny / "model.safetensors").items()}
    kept = {name: weight.contiguous() for name, weight in changed.items() if weight is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model\.path=") as caught:
        load_model(str(folder), "float32")
    assert words in str(caught.value)


def test_weights_without_a_place_are_counted(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    weights = load_file(tiny / "model.safetensors") | {"extra.head.weight": torch.ones(2)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    load_model(str(folder), "float32")
    assert "1 weights of the checkpoint have no place" in capsys.readouterr().out
