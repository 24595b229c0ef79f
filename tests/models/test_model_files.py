"""Damaged, foreign and hostile files of models: an error that names the override, and no code that is run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.model_files import model_problems
from tests.support.tiny import save_tiny_llava

Edit = Callable[[Path], object]
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def write(name: str, content: str | bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def remove(pattern: str) -> Edit:
    return lambda folder: [file.unlink() for file in folder.glob(pattern)]


def put(name: str, **values: Any) -> Edit:
    """Set values of a JSON file; those of `text_config` are added to it."""

    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        values_of_text = {**content.get("text_config", {}), **values.get("text_config", {})}
        text = {"text_config": values_of_text} if "text_config" in values else {}
        (folder / name).write_text(json.dumps({**content, **values, **text}))

    return edit


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9])


def lose_a_shard(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def become_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "owner/other"}')


def store_as(kind: str) -> Edit:
    """Store the weights in another type, such as the integers of a quantized model."""

    def edit(folder: Path) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / WEIGHTS)
        save_file({name: value.to(getattr(torch, kind)) for name, value in weights.items()}, folder / WEIGHTS)

    return edit


BEFORE_LOADING = {
    "torn": (cut, "model.safetensors is damaged"),
    "empty": (write(WEIGHTS, b""), "model.safetensors is damaged"),
    "an error page": (write(WEIGHTS, "<html>not found</html>"), "model.safetensors is damaged"),
    "a pointer of LFS": (
        write(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n"),
        "model.safetensors is damaged",
    ),
    "integers": (store_as("int8"), r"integers.*\(I8\).*no quantization_config"),
    "booleans": (store_as("bool"), r"integers.*\(BOOL\).*no quantization_config"),
    "no weights": (remove(WEIGHTS), r"no weights in \*\.safetensors"),
    "no config": (remove(CONFIG), r"no config\.json"),
    "config is no JSON": (write(CONFIG, "{"), r"config\.json cannot be read"),
    "config is nested deeply": (write(CONFIG, "[" * 200_000), r"config\.json cannot be read"),
    "config is a list": (write(CONFIG, "[]"), "model_type"),
    "config is empty": (write(CONFIG, "{}"), "model_type"),
    "an adapter": (become_an_adapter, r"generator\.adapter="),
    "mllama": (put(CONFIG, model_type="mllama"), r"\(mllama\) sees images through cross-attention; supported are"),
    "cross-attention": (put(CONFIG, text_config={"cross_attention_layers": [1]}), "cross-attention"),
    "florence2": (put(CONFIG, model_type="florence2"), r"\(florence2\) is an encoder-decoder; supported are"),
    "encoder-decoder": (put(CONFIG, text_config={"is_encoder_decoder": True}), "encoder-decoder"),
    "code as attention": (put(CONFIG, _attn_implementation="owner/kernels"), "code to download"),
    "code as inner attention": (put(CONFIG, text_config={"attn_implementation": "owner/k"}), "code to download"),
}
WHILE_LOADING: dict[str, tuple[Edit, str]] = {
    "a missing shard": (lose_a_shard, "model-00002-of-00002"),
    "an unknown architecture": (put(CONFIG, model_type="brand_new"), "brand_new"),
    "a text model": (write(CONFIG, '{"model_type": "llama"}'), "LlamaConfig.* takes no images"),
    "a wrong type": (put(CONFIG, vision_feature_layer="x"), "vision_feature_layer"),
    "other shapes": (put(CONFIG, text_config={"intermediate_size": 128}), "of another shape"),
    "a missing package": (put(CONFIG, quantization_config={"quant_method": "gptq", "bits": 4}), "optimum"),
}
PROCESSOR: dict[str, tuple[Edit, str]] = {
    "no tokenizer": (remove("tokenizer*"), "no tokenizer"),
    "no image processor": (remove("processor_config.json"), "no image processor"),
    "tokenizer is no JSON": (write(TOKENIZER, "nothing"), "no processor"),
    "tokenizer is empty": (write(TOKENIZER, "{}"), "no processor"),
    "image processor is no JSON": (write("processor_config.json", "["), "no processor"),
    "no end of a text": (put("tokenizer_config.json", eos_token=None), "no eos_token"),
    "template is no template": (write("chat_template.jinja", "{% for m in"), r"TemplateSyntaxError.*chat_template="),
    "template is no text": (write("chat_template.jinja", b"\xff\xfe\x00"), "no processor"),
}


def ids(cases: dict[str, tuple[Edit, str]]) -> dict[str, Any]:
    return {"argvalues": list(cases.values()), "ids": list(cases)}


@pytest.mark.parametrize(("edit", "reason"), **ids(BEFORE_LOADING))
def test_problems_are_found_before_anything_is_loaded(folder: Path, edit: Edit, reason: str) -> None:
    assert not [*model_problems(str(folder), trained=True)]
    edit(folder)
    with pytest.raises(UserError, match=rf"^model\.path={folder}: .*{reason}") as error:
        load_model(str(folder), "float32")
    assert [*model_problems(str(folder))] == [str(error.value)]


@pytest.mark.parametrize(("edit", "reason"), **ids(WHILE_LOADING))
def test_errors_of_loading_name_the_path(folder: Path, edit: Edit, reason: str) -> None:
    edit(folder)
    with pytest.raises(UserError, match=rf"^model\.path={folder}: .*{reason}"):
        load_model(str(folder), "float32")


@pytest.mark.parametrize(("edit", "reason"), **ids(PROCESSOR))
def test_errors_of_the_processor_name_the_path(folder: Path, edit: Edit, reason: str) -> None:
    edit(folder)
    with pytest.raises(UserError, match=rf"^model\.path={folder}: .*{reason}"):
        load_processor(ModelConfig(path=str(folder)))


def test_paligemma_can_be_measured_and_not_trained(folder: Path) -> None:
    put(CONFIG, model_type="paligemma")(folder)
    assert not [*model_problems(str(folder))]
    (problem,) = model_problems(str(folder), trained=True)
    assert "(paligemma)" in problem


def custom_config(folder: Path) -> None:
    put(CONFIG, model_type="own", auto_map={"AutoConfig": "own.C", "AutoModelForImageTextToText": "own.M"})(folder)


def custom_processor(folder: Path) -> None:
    put("processor_config.json", processor_class="Own", auto_map={"AutoProcessor": "own.P"})(folder)


@pytest.mark.parametrize("edit", [custom_config, custom_processor])
def test_code_beside_the_weights_is_neither_run_nor_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit
) -> None:
    edit(folder)
    (folder / "own.py").write_text(f"open({str(folder / 'was_run')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda question: "y")

    def load() -> None:
        load_processor(ModelConfig(path=str(folder)))
        load_model(str(folder), "float32")

    with pytest.raises(UserError, match=r"model\.path=.*mmdpo runs none"):
        load()
    assert not (folder / "was_run").exists()


def needs_torchvision(folder: Path) -> None:
    """As Qwen2.5-VL's processor, whose videos need it."""
    processor = json.loads((folder / "processor_config.json").read_text())
    images = {**processor["image_processor"], "image_processor_type": "Qwen2VLImageProcessor"}
    video = {"video_processor_type": "Qwen2VLVideoProcessor"}
    content = {"image_processor": images, "video_processor": video, "processor_class": "Qwen2_5_VLProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(content))


def is_smolvlm(folder: Path) -> None:
    """As SmolVLM's processor; the missing package is not in transformers' message."""
    put("processor_config.json", processor_class="SmolVLMProcessor")(folder)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
@pytest.mark.parametrize("edit", [needs_torchvision, is_smolvlm])
def test_a_missing_package_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit) -> None:
    edit(folder)
    with pytest.raises(UserError, match=r"model\.path=.*needs torchvision: type pip install 'mmdpo\[vision\]'"):
        load_processor(ModelConfig(path=str(folder)))
