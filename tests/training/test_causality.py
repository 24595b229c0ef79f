"""The test whether a model's log-probs depend on earlier tokens alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import TrainOn
from mmdpo.config.schema import ModelConfig, TrainConfig
from mmdpo.errors import UserError
from mmdpo.models.loading import load_model, load_processor
from mmdpo.records import PreferencePair
from mmdpo.training.causality import reason_against_training
from mmdpo.training.rows import tokenize_examples
from mmdpo.training.run import train_adapter
from mmdpo.training_data.sft import chosen_answers
from tests.support.architectures import save_architecture
from tests.support.tiny import save_tiny_llava, tiny_pairs, tiny_settings


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def pairs(images: Path) -> list[PreferencePair]:
    return tiny_pairs(images, 4)


@pytest.fixture(scope="module")
def paligemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paligemma")
    save_architecture("paligemma", folder)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("llava"))


def reason(
    folder: Path, pairs: list[PreferencePair], images: Path, limit: int | None = None, dtype: str = "float32"
) -> str | None:
    model, processor = load_model(str(folder), dtype), load_processor(ModelConfig(path=str(folder)))
    rows = tokenize_examples(pairs, images, processor, TrainConfig(max_text_tokens=limit)).rows
    return reason_against_training(model, processor, rows)


@pytest.mark.parametrize(("limit", "dtype"), [(None, "float32"), (8, "float32"), (None, "bfloat16")])
def test_a_causal_model_passes(
    llava: Path, pairs: list[PreferencePair], images: Path, limit: int | None, dtype: str
) -> None:
    """Also with answers that are cut, which do not end in EOS."""
    assert reason(llava, pairs, images, limit, dtype) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_to_later_tokens_is_found(
    paligemma: Path, pairs: list[PreferencePair], images: Path, dtype: str
) -> None:
    assert "later tokens of an answer change" in str(reason(paligemma, pairs, images, dtype=dtype))


def test_a_model_that_does_not_take_the_rows_is_named(
    llava: Path, pairs: list[PreferencePair], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(*given: object, **named: object) -> None:
        raise RuntimeError("shape '[6, -1]' is invalid")

    monkeypatch.setattr("transformers.LlavaModel.forward", forward)
    assert "shape '[6, -1]' is invalid" in str(reason(llava, pairs, images))


def train(folder: Path, pairs: list[PreferencePair], images: Path, output: Path, **overrides: Any) -> None:
    settings = tiny_settings(folder, train__warmup_ratio=0.0, **overrides)
    examples: list[Any] = list(pairs)
    if not settings.trains_on_pairs:
        examples = [*chosen_answers(pairs)]
    train_adapter(settings, examples, images, output, lambda log, step: None, lambda step: None)


@pytest.mark.parametrize(
    "overrides", [{}, {"method__train_on": TrainOn.best_completion, "method__loss_type": None}], ids=["dpo", "sft"]
)
def test_nothing_is_trained_on_log_probs_that_later_tokens_change(
    paligemma: Path,
    pairs: list[PreferencePair],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: dict[str, Any],
) -> None:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"model\.path=.*PaliGemma.* cannot be trained"):
        train(paligemma, pairs, images, tmp_path, **overrides)
    assert not (tmp_path / "adapter").exists()
    assert not [*tmp_path.glob("cache/reference/*/log_probs.safetensors")]
