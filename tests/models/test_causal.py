"""Text-only language models: their own templates, answers, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.causal import KEY, load_causal_model, load_text_processor
from mmdpo.models.engine import ModelEngine
from mmdpo.models.model_files import causal_problems, is_causal
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Prompt, Turn
from tests.support.tiny import save_tiny_causal, save_tiny_llava

OWN = "{% for m in messages %}{{ m['role'] | upper + ' : ' + m['content'] + ' ' }}{% endfor %}{{ 'ASSISTANT :' }}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("causal"))


def settings(path: Path, chat_template: str | None = "vicuna_v1") -> ModelConfig:
    return ModelConfig("tiny", str(path), chat_template=chat_template)


@pytest.mark.parametrize("padded", [False, True])
def test_a_text_only_model_answers_in_turns_and_in_any_batch(tiny: Path, padded: bool) -> None:
    model, processor = load_causal_model(str(tiny), "float32"), load_text_processor(settings(tiny))
    prompts = [
        Prompt("a", "what is there"),
        Prompt("b", "is one left", history=(Turn("a red star", "yes"),)),
        Prompt("c", "the blue square"),
    ]
    requests = [GenerationRequest(one, temperature=0.9) for one in prompts]
    engine = ModelEngine(model, processor, 3 if padded else 1, 8, seed=1)
    texts = {index: answer.text for index, answer in engine.answer(requests, Path())}
    alone = {
        index: answer.text
        for index, request in enumerate(requests)
        for _, answer in ModelEngine(model, processor, 1, 8, seed=1).answer([request], Path())
    }
    assert texts == alone
    assert len({*texts.values()}) == 3


def test_the_own_template_comes_before_the_configured_one(tiny: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(tiny, own)
    (own / "chat_template.jinja").write_text(OWN)
    message = [{"role": "user", "content": [{"type": "text", "text": "what is there"}]}]
    rendered = [
        load_text_processor(settings(path)).apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        for path in (own, tiny)
    ]
    assert rendered[0] == "USER : what is there ASSISTANT :"
    assert rendered[1].startswith("<s>A chat between")
    assert rendered[1].endswith("USER: what is there ASSISTANT:")
    with pytest.raises(UserError, match=r"model\.chat_template="):
        load_text_processor(settings(tiny, chat_template=None))


def test_images_are_refused(tiny: Path) -> None:
    with pytest.raises(UserError, match=rf"{KEY}=null"):
        load_text_processor(settings(tiny))(["a"], images=[["an image"]])  # type: ignore[arg-type]


def changed(tiny: Path, folder: Path, kind: str) -> Path:
    shutil.copytree(tiny, folder)
    weights = folder / "model.safetensors"
    if kind == "pickled":
        weights.rename(folder / "pytorch_model.bin")
    elif kind == "torn":
        weights.write_bytes(weights.read_bytes()[:500])
    elif kind == "no tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    else:
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**content, "hidden_size": 16}))
    return folder


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("pickled", "pickles.*hf download.*null"),
        ("torn", "damaged"),
        ("no tokenizer", "no tokenizer"),
        ("shape", "fill"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_named_by_its_setting(
    tiny: Path, tmp_path: Path, kind: str, reason: str
) -> None:
    folder = changed(tiny, tmp_path / "changed", kind)
    with pytest.raises(UserError, match=rf"^{KEY}=.*{reason}"):
        load_causal_model(str(folder), "float32")
    assert bool([*causal_problems(str(folder), KEY)]) == (kind != "shape")


def test_a_vision_language_model_is_no_text_only_one(tiny: Path, tmp_path: Path) -> None:
    assert is_causal(str(tiny))
    assert not is_causal(str(save_tiny_llava(tmp_path)))
    assert not is_causal("pkg://mmdpo/nano/weights/instruct")
