"""Batches: TRL's numbers for rows with images, and the same numbers when text-only rows are mixed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmdpo.errors import UserError
from mmdpo.models.chat import answer, messages
from mmdpo.models.loading import load_model, load_processor
from mmdpo.records import Exchange, PreferencePair
from mmdpo.training.collate import PreferenceCollator
from mmdpo.training.reference import fused_head
from mmdpo.training.rows import tokenised, usable
from tests.tiny import Tiny


def stock_batch(pairs: list[PreferencePair], images: Path, processor: Any) -> dict[str, Any]:
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    examples = [
        {
            "images": [Image.open(images / pair.image).convert("RGB")] if pair.image else [],
            "prompt": messages(pair.question, pair.history, pair.image is not None),
            "chosen": answer(pair.chosen),
            "rejected": answer(pair.rejected),
        }
        for pair in pairs
    ]
    return dict(DataCollatorForVisionPreference(processor)(examples))


@pytest.mark.parametrize("kinds", [{True}, {False}, {True, False}])
def test_the_batch_is_that_of_trl(tiny: Tiny, kinds: set[bool]) -> None:
    """With images, without, and mixed."""
    processor = load_processor(str(tiny.model))
    pairs = [pair for pair in tiny.pairs if bool(pair.image) in kinds]
    history = (Exchange("what is there", "a star"),)
    pairs.append(PreferencePair("h", "where", "left", "right no", pairs[0].image, history))
    ours = PreferenceCollator(processor)(tokenised(pairs, tiny.images, processor))
    stock = stock_batch(pairs, tiny.images, processor)
    assert ours.pop("rows") == [pair.id for pair in pairs]
    assert ours.keys() == stock.keys()
    for name, value in stock.items():
        assert torch.equal(ours[name], value), name


def log_probs(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    batch = {name: value for name, value in batch.items() if name != "rows"}
    labels = batch["input_ids"].masked_fill(batch.pop("completion_mask") == 0, -100)
    with fused_head(model), torch.no_grad():
        return model(**batch, labels=labels, fused_lm_head=True).log_probs.sum(dim=1).view(2, -1)


def test_a_mixed_batch_has_the_log_probs_of_separate_ones(tiny: Tiny) -> None:
    model, processor = load_model(str(tiny.model), "float32"), load_processor(str(tiny.model))
    rows = tokenised(tiny.pairs, tiny.images, processor)
    collate = PreferenceCollator(processor)
    assert {bool(row["image"]) for row in rows} == {True, False}
    alone = torch.cat([log_probs(model, collate([row])) for row in rows], dim=1)
    assert alone.std() > 1
    torch.testing.assert_close(log_probs(model, collate(rows)), alone, atol=1e-5, rtol=1e-6)


def test_every_answer_ends_with_one_eos(tiny: Tiny) -> None:
    processor = load_processor(str(tiny.model))
    for row in tokenised(tiny.pairs, tiny.images, processor):
        for side in ("chosen_ids", "rejected_ids"):
            assert row[side].count(processor.tokenizer.eos_token_id) == 1
            assert row[side][-1] == processor.tokenizer.eos_token_id


def test_pairs_that_cannot_be_trained_on_are_counted() -> None:
    pairs = [
        PreferencePair("a", "q", "yes", "no"),
        PreferencePair("b", "q", "yes", "yes"),
        PreferencePair("c", "q", "", "no"),
        PreferencePair("d", "q", "yes", " \n"),
    ]
    kept, dropped = usable(pairs)
    assert kept == pairs[:1]
    assert dropped == {"same_answers": 1, "empty_answer": 2}
    with pytest.raises(UserError, match=r"No pair is left.*1 same_answers"):
        usable(pairs[1:2])
    with pytest.raises(UserError, match="'a'"):
        usable([pairs[0], pairs[0]])


def test_a_template_that_drops_the_image_is_refused(tiny: Tiny) -> None:
    processor = load_processor(str(tiny.model))
    processor.chat_template = "{% for m in messages %}{{ m['content'][-1]['text'] }} {% endfor %}"
    with pytest.raises(UserError, match="'pair-01'.*0 image placeholders"):
        tokenised(tiny.pairs, tiny.images, processor)
