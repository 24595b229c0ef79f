"""Model families other than LLaVA-1.5: loading, answers, prefix sharing and training."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from mmdpo.config.schema import ModelConfig, TrainConfig
from mmdpo.models.generate import Decoding, generate, generate_several, repeated_inputs
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.prefix import reason_against_sharing
from mmdpo.records import ImagePosition, PreferencePair, Prompt, Turn
from mmdpo.training.collate import Collator
from mmdpo.training.lora import projector_names, target_names
from mmdpo.training.prefix import sharing
from mmdpo.training.rows import tokenize_examples
from mmdpo.training.scoring import scoring, shared_attention
from tests.support.architectures import KINDS, save_architecture
from tests.support.tiny import tiny_settings

SIZES = ((60, 30), (30, 70), (28, 28))  # pixels


class Family(NamedTuple):
    kind: str
    folder: Path
    processor: Any
    pairs: list[PreferencePair]
    images: Path


@pytest.fixture(scope="module", params=KINDS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp(request.param)
    processor = save_architecture(request.param, folder / "model")
    if request.param != "qwen2_5_vl":  # its processor cannot be loaded without torchvision
        processor = load_processor(ModelConfig(path=str(folder / "model")))
    rng = np.random.default_rng(0)
    pairs = [PreferencePair("text", "where is it", "left", "right is it")]
    for index, size in enumerate(SIZES):
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(folder / f"{index}.png")
        pairs.append(PreferencePair(f"p{index}", "what is there", "a red star", "no", (f"{index}.png",)))
    places = (ImagePosition(2, 5), ImagePosition(0, 0))
    texts = "where is it", "a star there", "no"
    pairs.append(PreferencePair("two", *texts, ("2.png", "1.png"), (Turn("what", "red"),), image_positions=places))
    return Family(request.param, folder / "model", processor, pairs, folder)


def rows(family: Family) -> list[dict[str, Any]]:
    return tokenize_examples(family.pairs, family.images, family.processor, TrainConfig()).rows


def test_a_prompt_has_one_placeholder_an_image_and_an_answer_one_eos(family: Family) -> None:
    token, eos = family.processor.image_token, family.processor.tokenizer.eos_token_id
    for pair, row in zip(family.pairs, rows(family), strict=True):
        assert row["prompt"].count(token) == len(pair.images)
        assert all(ids.count(eos) == 1 and ids[-1] == eos for ids in row["answers"])


def test_a_mixed_batch_has_the_log_probs_of_rows_alone(family: Family) -> None:
    """In both layouts, where prefixes are shared; images of different sizes."""
    model = load_model(str(family.folder), "float32")
    shared = sharing(model, family.processor, rows(family)).holds
    assert shared is (family.kind != "qwen2_5_vl")  # its positions of an image have three dimensions
    with scoring(model) as scorer, torch.no_grad():

        def sums(some: list[dict[str, Any]], shared: bool) -> torch.Tensor:
            with shared_attention(model) if shared else nullcontext():
                outputs = scorer(model, Collator(family.processor, shared)(some))
            return outputs.log_probs.sum(dim=1).view(2, -1)

        alone = torch.cat([sums([row], shared=False) for row in rows(family)], dim=1)
        assert alone.std() > 0.1
        for layout in {False, shared}:
            torch.testing.assert_close(sums(rows(family), layout), alone, atol=1e-4, rtol=1e-5)


def test_the_reason_is_said_and_the_training_is_right(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from mmdpo.training import prepare, reference, run

    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    for module in (reference, prepare):
        monkeypatch.setattr(module, "load_processor", lambda model: family.processor)
    steps: list[dict[str, float]] = []
    settings = tiny_settings(family.folder, train__per_device_train_batch_size=2, train__num_train_epochs=2.0)
    summary = run.train_adapter(
        settings, family.pairs, family.images, tmp_path, lambda log, step: steps.append(log), lambda step: None
    )
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert steps[-1]["loss"] < 0.69
    off = family.kind == "qwen2_5_vl"
    assert summary.prefix_sharing is not off
    assert ("prefix sharing is off" in capfd.readouterr().out) is off


def test_it_answers(family: Family) -> None:
    model = load_model(str(family.folder), "float32")
    places = (ImagePosition(0, 4), ImagePosition(0, 0))
    prompts = [
        Prompt("a", "what is there", ("0.png",)),
        Prompt("b", "where"),
        Prompt("c", "where", ("1.png",)),
        Prompt("d", "what is", ("0.png", "1.png"), image_positions=places),
    ]
    together = generate(model, family.processor, prompts, family.images, Decoding(6, 3))
    alone = [generate(model, family.processor, [one], family.images, Decoding(6, 1))[0] for one in prompts]
    assert together == alone
    assert any(together)


def test_lora_is_on_the_language_model_alone(family: Family) -> None:
    model = load_model(str(family.folder), "float32")
    names = target_names(model)
    assert len(names) == 2 * 7  # layers; q k v o, gate up down
    text = {id(module) for module in model.get_decoder().modules()}
    assert all(id(model.get_submodule(name)) in text for name in names)


def test_the_projector_is_found(family: Family) -> None:
    expected = {
        "llava_next": ["model.multi_modal_projector"],
        "idefics3": ["model.connector"],
        "qwen2_5_vl": [],
    }
    model = load_model(str(family.folder), "float32")
    assert projector_names(model) == expected.get(family.kind, [])


def test_a_prefix_is_shared_where_that_changes_nothing(family: Family) -> None:
    model = load_model(str(family.folder), "float32").eval()
    prompts = [Prompt("a", "what is there", ("0.png",)), Prompt("b", "where is it now", ("1.png", "2.png"))]
    inputs, twice = (repeated_inputs(model, family.processor, prompts[:1], family.images, count) for count in (1, 2))
    reason = reason_against_sharing(model, inputs, twice)
    assert (reason is None) is (family.kind != "qwen2_5_vl"), reason
    decoding = Decoding(8, 2, temperature=1.0)
    apart = generate_several(model, family.processor, prompts, family.images, decoding, 3)
    assert len({one.text for answers in apart for one in answers}) > 2
    alone = [generate_several(model, family.processor, [one], family.images, decoding, 3)[0] for one in prompts]
    assert apart == alone
    if reason is None:
        shared = generate_several(model, family.processor, prompts, family.images, decoding, 3, share=True)
        assert shared == apart
