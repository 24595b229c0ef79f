"""KTO on images: every step equals stock TRL's, and the rows that its KL term compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from mmdpo.config.choices import TooLong, TrainOn
from mmdpo.errors import UserError
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.loading import load_model, load_processor
from mmdpo.models.messages import to_answer, to_messages
from mmdpo.records import LabelledAnswer
from mmdpo.training.labelled import labelled_rows, partners
from mmdpo.training.lora import lora
from mmdpo.training.reference_notes import is_noted_reference_known, reference_note
from mmdpo.training.rows import tokenize_examples
from mmdpo.training.run import train_adapter
from mmdpo.training.trl_config import kto_config
from tests.support.tiny import Tiny, tiny_settings
from tests.training.test_trainer import assert_same, assert_same_adapter, ours

SAME = (
    "loss", "grad_norm", "learning_rate", "kl", "rewards/chosen", "rewards/rejected", "rewards/margins",
    "logps/chosen", "logps/rejected", "entropy", "logits/chosen", "logits/rejected",
)  # fmt: skip


def labelled(tiny: Tiny) -> list[LabelledAnswer]:
    return [
        LabelledAnswer(
            pair.id, pair.question, pair.chosen if index % 2 else pair.rejected, bool(index % 2), pair.images
        )
        for index, pair in enumerate(tiny.pairs)
    ]


def kto_settings(tiny: Tiny, **overrides: Any) -> Any:
    return tiny_settings(
        tiny.model, method__loss_type="kto", method__train_on=TrainOn.labelled, logprob_avg=None, **overrides
    )


def stock(tiny: Tiny, settings: Any, folder: Path, examples: Sequence[LabelledAnswer]) -> Any:
    """Plain TRL with live references on the same rows in the same order: the log of each step, and the adapter."""
    from datasets import Dataset
    from peft import get_peft_model_state_dict
    from trl import KTOTrainer

    order = Random(f"labelled {settings.seed}").sample(range(len(examples)), len(examples))
    data = Dataset.from_list(
        [
            {
                "images": [Image.open(tiny.images / name).convert("RGB") for name in example.images],
                "prompt": to_messages(example),
                "completion": to_answer(example.answer),
                "label": example.label,
            }
            for example in (examples[index] for index in order)
        ]
    )
    with suppress_library_output():
        model = load_model(settings.model.path, "float32")
        trainer = KTOTrainer(
            model,
            args=kto_config(settings, folder),
            train_dataset=data,
            processing_class=load_processor(settings.model),
            peft_config=lora(model, settings.model),
        )
        trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return steps, get_peft_model_state_dict(trainer.model)


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize(
    "overrides",
    [
        {"train__num_train_epochs": 2.0, "method__desirable_weight": 1.5, "method__undesirable_weight": 0.5},
        {
            "train__per_device_train_batch_size": 5,
            "train__gradient_accumulation_steps": 2,
            "train__num_train_epochs": 2.0,
        },
    ],
)
def test_every_step_equals_stock_trl(tiny: Tiny, tmp_path: Path, overrides: dict[str, Any], sharing: bool) -> None:
    settings = kto_settings(tiny, train__prefix_sharing=sharing, **overrides)
    expected, adapter = stock(tiny, settings, tmp_path / "stock", labelled(tiny))
    logged = ours(tiny, settings, tmp_path / "ours", labelled(tiny))
    assert_same(logged, expected, [name for name in SAME if all(name in step for step in expected)])
    assert {"kl", "loss", "rewards/margins"} <= expected[-1].keys()
    assert logged[-1]["loss"] != pytest.approx(0.5, abs=1e-4)  # as without any training
    assert_same_adapter(tmp_path / "ours", adapter)


@pytest.mark.parametrize("method", ["kto", "mpo"])
def test_a_run_that_broke_ends_as_an_undisturbed_one(tiny: Tiny, tmp_path: Path, method: str) -> None:
    settings = kto_settings(tiny, train__num_train_epochs=2.0)
    examples: list[Any] = labelled(tiny)
    if method == "mpo":
        losses = {"sigmoid": 0.8, "bco_pair": 0.2, "sft": 1.0}
        settings = tiny_settings(tiny.model, method__loss_type=None, method__losses=losses, train__num_train_epochs=2.0)
        examples = tiny.pairs

    def break_off(metrics: dict[str, float], step: int) -> None:
        if step == 5 and not began:
            raise KeyboardInterrupt

    began: list[int] = []
    arguments = settings, examples, tiny.images, tmp_path / "broken", break_off
    with pytest.raises(KeyboardInterrupt):
        train_adapter(*arguments, lambda step: None)
    train_adapter(*arguments, began.append)
    assert began == [4]
    ours(tiny, settings, tmp_path / "undisturbed", examples)
    found, expected = (
        (tmp_path / name / "adapter/adapter_model.safetensors").read_bytes() for name in ("broken", "undisturbed")
    )
    assert found == expected


def test_the_answers_of_the_kl_term_are_those_of_the_row_before() -> None:
    assert partners(7, 3) == [2, 0, 1, 5, 3, 4, 6]
    assert partners(4, 4) == [3, 0, 1, 2]


def test_equal_and_cut_answers_keep_their_reference(tiny: Tiny) -> None:
    """Rows whose KL answer is their own have the same log-prob twice; the limit cuts both answers of a row."""
    examples = [
        replace(one, answer="red star yes no") if index < 8 else one for index, one in enumerate(labelled(tiny))
    ]
    settings = kto_settings(tiny, train__max_text_tokens=14, train__too_long=TooLong.drop)
    processor = load_processor(settings.model)
    tokenized = tokenize_examples(examples, tiny.images, processor, settings.train)
    assert not is_noted_reference_known(reference_note(settings, examples, tiny.images))
    found, sharing = labelled_rows(settings, examples, tokenized, tiny.images, processor)
    flipped = [replace(one, label=not one.label) for one in examples]
    assert is_noted_reference_known(reference_note(settings, flipped, tiny.images))
    assert not is_noted_reference_known(reference_note(replace(settings, seed=1), examples, tiny.images))
    assert sharing.holds
    assert 4 < len(found.rows) <= len(examples)
    assert sorted(row["id"] for row in found.rows) == sorted(row["id"] for row in tokenized.rows)
    texts = {one.id: one for one in examples}
    ids = [row["id"] for row in found.rows]
    equal = 0
    for row, other in zip(found.rows, partners(len(ids), 4), strict=True):
        assert row["label"] is texts[row["id"]].label
        limit = 14 - len(row["prompt_ids"]) + len(row["images"])
        assert max(len(answer) for answer in row["answers"]) <= limit
        if texts[row["id"]].answer == texts[ids[other]].answer:
            equal += 1
            assert row["answers"][0] == row["answers"][1]
            assert row["ref_logps"] == row["ref_KL_logps"]
    assert 0 < equal < len(ids)


def test_answers_without_any_difference_are_refused(tiny: Tiny) -> None:
    examples = [replace(one, answer="red") for one in labelled(tiny)]
    settings = kto_settings(tiny)
    processor = load_processor(settings.model)
    tokenized = tokenize_examples(examples, tiny.images, processor, settings.train)
    with pytest.raises(UserError, match="method=kto"):
        labelled_rows(settings, examples, tokenized, tiny.images, processor)
