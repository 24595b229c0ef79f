"""Batches: TRL's numbers for rows with images, also when text-only rows are mixed in."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmdpo.errors import UserError
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.messages import to_answer, to_messages
from mmdpo.records import PreferencePair, Turn
from mmdpo.training.collate import Collator
from mmdpo.training.rows import tokenize_examples
from mmdpo.training.scoring import scoring, shared_attention
from tests.support.tiny import Tiny, tiny_settings


def stock_batch(pairs: list[PreferencePair], images: Path, processor: Any) -> dict[str, Any]:
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    examples = [
        {
            "images": [Image.open(images / name).convert("RGB") for name in pair.images],
            "prompt": to_messages(pair),
            "chosen": to_answer(pair.chosen),
            "rejected": to_answer(pair.rejected),
        }
        for pair in pairs
    ]
    return dict(DataCollatorForVisionPreference(processor)(examples))


def whole(batch: dict[str, Any]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the tokens and the answer of each sequence of a batch with separate rows."""
    inputs = batch["model"]
    length = inputs["input_ids"].shape[1]
    tokens, answers = [], []
    for row in range(len(inputs["input_ids"])):
        own = batch["labels"][batch["scored"] // length == row].tolist()
        present = inputs["input_ids"][row][inputs["attention_mask"][row].bool()].tolist()
        tokens.append([*present, own[-1]])
        answers.append(own)
    return tokens, answers


@pytest.mark.parametrize("kinds", [{True}, {False}, {True, False}])
def test_the_batch_is_that_of_trl(tiny: Tiny, kinds: set[bool]) -> None:
    """With images, without, and mixed: the tokens, the answers among them, and the pixels."""
    model = tiny_settings(tiny.model)
    processor = load_processor(model.model)
    pairs = [pair for pair in tiny.pairs if bool(pair.images) in kinds]
    history = (Turn("what is there", "a star"),)
    pairs.append(PreferencePair("h", "where", "left", "right no", pairs[0].images, history))
    ours = Collator(processor)(tokenize_examples(pairs, tiny.images, processor, model.train).rows)
    stock = stock_batch(pairs, tiny.images, processor)
    assert ours["rows"] == [pair.id for pair in pairs]
    tokens, answers = whole(ours)
    for row, (found, text) in enumerate(zip(tokens, answers, strict=True)):
        assert found == stock["input_ids"][row][stock["attention_mask"][row].bool()].tolist()
        assert text == stock["input_ids"][row][stock["completion_mask"][row].bool()].tolist()
    assert torch.equal(ours["completion_mask"].sum(1), stock["completion_mask"].sum(1))
    assert ("pixel_values" in stock) is ("pixel_values" in ours["model"]) is (True in kinds)
    if True in kinds:
        assert torch.equal(ours["model"]["pixel_values"], stock["pixel_values"])


def log_probs(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    attention = shared_attention(model) if "seen_until" in batch["model"] else nullcontext()
    with attention, scoring(model) as scorer, torch.no_grad():
        return scorer(model, batch).log_probs.sum(dim=1).view(2, -1)


@pytest.mark.parametrize(
    ("shared", "max_row_tokens", "most"), [(False, 0, 24), (True, 0, 12), (True, 100, 11), (True, 10_000, 1)]
)
def test_a_mixed_batch_has_the_log_probs_of_separate_ones(
    tiny: Tiny, shared: bool, max_row_tokens: int, most: int
) -> None:
    settings = tiny_settings(tiny.model)
    model, processor = load_model(str(tiny.model), "float32"), load_processor(settings.model)
    rows = tokenize_examples(tiny.pairs, tiny.images, processor, settings.train).rows
    assert {bool(row["images"]) for row in rows} == {True, False}
    alone = torch.cat([log_probs(model, Collator(processor)([row])) for row in rows], dim=1)
    assert alone.std() > 1
    batch = Collator(processor, shared, max_row_tokens=max_row_tokens)(rows)
    assert len(batch["model"]["input_ids"]) <= most
    torch.testing.assert_close(log_probs(model, batch), alone, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_a_batch_without_images_may_carry_a_blank_one(tiny: Tiny, shared: bool) -> None:
    """A blank image keeps a process without images in step with the others, and changes no number."""
    settings = tiny_settings(tiny.model)
    model, processor = load_model(str(tiny.model), "float32"), load_processor(settings.model)
    pairs = [pair for pair in tiny.pairs if not pair.images]
    rows = tokenize_examples(pairs, tiny.images, processor, settings.train).rows
    plain, blank = (Collator(processor, shared, always)(rows) for always in (False, True))
    assert "pixel_values" not in plain["model"]
    assert len(blank["model"]["pixel_values"]) == 1
    torch.testing.assert_close(log_probs(model, blank), log_probs(model, plain))
    with_image = tokenize_examples(tiny.pairs[1:2], tiny.images, processor, settings.train).rows
    both = Collator(processor, shared, True)(with_image)["model"]["pixel_values"]
    assert len(both) == (1 if shared else 2)


def test_every_answer_ends_with_one_eos(tiny: Tiny) -> None:
    settings = tiny_settings(tiny.model)
    processor = load_processor(settings.model)
    for row in tokenize_examples(tiny.pairs, tiny.images, processor, settings.train).rows:
        for ids in row["answers"]:
            assert ids.count(processor.tokenizer.eos_token_id) == 1
            assert ids[-1] == processor.tokenizer.eos_token_id


def test_a_template_that_drops_the_image_is_refused(tiny: Tiny) -> None:
    settings = tiny_settings(tiny.model)
    processor = load_processor(settings.model)
    processor.chat_template = "{% for m in messages %}{{ m['content'][-1]['text'] }} {% endfor %}"
    with pytest.raises(UserError, match=r"'pair-01'.*0 image placeholders"):
        tokenize_examples(tiny.pairs, tiny.images, processor, settings.train)


def test_an_image_that_changes_during_the_training_is_named(tiny: Tiny, tmp_path: Path) -> None:
    settings = tiny_settings(tiny.model)
    processor = load_processor(settings.model)
    shutil.copytree(tiny.images, tmp_path / "images")
    rows = tokenize_examples(tiny.pairs[:3], tmp_path / "images", processor, settings.train).rows
    collate = Collator(processor)
    collate(rows)
    changed = tmp_path / "images" / tiny.pairs[1].images[0]
    shutil.copy(tmp_path / "images" / tiny.pairs[2].images[0], changed)
    with pytest.raises(UserError, match=f"{changed}.*changed during the training"):
        collate(rows)
