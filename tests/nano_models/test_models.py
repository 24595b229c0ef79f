"""Answers of the shipped models, and the build that makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

from mmdpo.files import file_fingerprint, read_json
from mmdpo.nano import INSTRUCT, LLAVA, WEIGHTS
from mmdpo.nano.items import presence_items, text_items
from mmdpo.nano.oracle import rate
from mmdpo.nano_models import build
from mmdpo.nano_models.__main__ import main
from mmdpo.nano_models.card import GATE, card_text, gate
from mmdpo.nano_models.measure import generate_answers, summary
from mmdpo.nano_models.processor import VOCABULARY
from mmdpo.nano_models.training import NanoRecipe
from tests.support.ratings import quality_of


def load(folder: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("folder", [INSTRUCT, LLAVA])
def test_the_shipped_models_see_and_answer(folder: Path, tmp_path: Path) -> None:
    model, processor = load(folder)
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == processor.tokenizer.pad_token_id
    assert processor.tokenizer.get_vocab() == VOCABULARY
    assert model.config.image_token_id == processor.image_token_id
    items = presence_items(100, "dev", 0, tmp_path)
    said = [text for (text,) in generate_answers(model, processor, items, tmp_path)]
    right = [text == item.facts["answer"][0] for text, item in zip(said, items, strict=True)]
    assert sum(right) > 100 * GATE
    texts = text_items(32, "dev", 0)
    given = generate_answers(model, processor, texts, tmp_path)
    qualities = [quality_of(rate(item, text)) for item, (text,) in zip(texts, given, strict=True)]
    assert sum(qualities) / len(qualities) > 6


def test_samples_differ(tmp_path: Path) -> None:
    model, processor = load(LLAVA)
    given = generate_answers(model, processor, text_items(16, "dev", 0), tmp_path, samples=4, temperature=0.7)
    assert [len(row) for row in given] == [4] * 16
    assert sum(len(set(row)) > 1 for row in given) >= 4


def test_the_card_is_of_the_shipped_weights_and_the_gate_is_met() -> None:
    card = read_json(WEIGHTS / "card.json")
    for name, print_ in card["weights"].items():
        assert file_fingerprint(WEIGHTS / name / "model.safetensors") == print_
    assert all(gate(tuning) for base in card["bases"] for tuning in base["tunings"])
    assert (WEIGHTS / "card.md").read_text(encoding="utf-8") == card_text(card)


@pytest.mark.long
def test_a_shortened_build_runs_and_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "THREADS", 1)  # two workers share the cores
    for name in ("one", "two"):
        arguments = ["build", "--out", str(tmp_path / name), "--steps-scale", "0.002", "--items", "4"]
        main([*arguments, "--tuning-seeds", "0"])
    for role in ("instruct", "llava"):
        weights = [(tmp_path / name / role / "model.safetensors").read_bytes() for name in ("one", "two")]
        assert weights[0] == weights[1]
    card = read_json(tmp_path / "one" / "card.json")
    assert [tuning["seed"] for tuning in card["bases"][0]["tunings"]] == [0]
    main(["card", *[str(tmp_path / name / "card.json") for name in ("one", "two")], "--out", str(tmp_path)])
    assert len(read_json(tmp_path / "card.json")["bases"]) == 2
    base = str(tmp_path / "one" / "instruct")
    main(["tune", "--base", base, "--out", str(tmp_path / "new"), "--steps-scale", "0.002"])
    again = (tmp_path / "new" / "model.safetensors").read_bytes()
    assert again == (tmp_path / "one" / "llava" / "model.safetensors").read_bytes()


def test_recipes_scale() -> None:
    assert NanoRecipe().scaled(0.5).base_steps == NanoRecipe().base_steps // 2
    assert NanoRecipe().scaled(0).tuning_steps == 2


def test_intervals() -> None:
    found = summary([0.0, 1.0] * 50)
    assert 0.39 <= found["low"] <= 0.42
    assert 0.58 <= found["high"] <= 0.61
    assert summary([2.0] * 5) == {"mean": 2.0, "low": 2.0, "high": 2.0, "n": 5}
