"""Amounts of work, against numbers derived by hand."""

from __future__ import annotations

import pytest

from mmdpo.config.choices import TrainOn
from mmdpo.config.model_settings import LoraConfig, ModelConfig
from mmdpo.config.schema import MethodConfig, TrainConfig
from mmdpo.records import LabelledAnswer, PreferencePair, SftExample, SteeredExample
from mmdpo.training.amounts import reference_amounts, training_amounts, training_kind


def pair(number: int, letters: int, image: str = "") -> PreferencePair:
    question = "q" * 9 + str(number)
    return PreferencePair(f"{number}", question, "c" * letters, "r" * letters, images=(image or f"{number}.png",))


def settings(size: int = 1, **fields: object) -> TrainConfig:
    return TrainConfig(
        name="t", per_device_train_batch_size=size, gradient_accumulation_steps=1, num_train_epochs=1, **fields
    )


def test_a_training_of_four_equal_pairs():
    train = settings(2)
    train.num_train_epochs = 3
    pairs = [pair(number, 5) for number in range(4)]
    whole = {"trainings": 1, "steps": 6, "batches": 6, "letters": 4 * 20 * 3, "images": 12}
    assert training_amounts(train, pairs) == whole
    third = {unit: amount / 3 for unit, amount in whole.items()} | {"trainings": 1}
    assert training_amounts(train, pairs, steps=2) == third


def test_answers_with_rows_of_their_own_repeat_the_prompt():
    separate = settings(prefix_sharing=False)
    assert training_amounts(separate, [pair(0, 5)])["letters"] == 30
    assert training_amounts(separate, [SftExample("0", "q" * 10, "a" * 5)])["letters"] == 15


def test_a_common_beginning_of_answers_counts_once():
    both = PreferencePair("0", "q" * 10, "the cat", "the dog")
    assert training_amounts(settings(), [both])["letters"] == 10 + 4 + 3 + 3


@pytest.mark.parametrize(
    ("once", "size", "letters", "images"),
    [
        (True, 4, 2 * (10 + 3 + 3), 2),  # two trees in one batch
        (True, 2, 2 * (10 + 3 + 3), 2),
        (False, 4, 4 * 13, 4),
    ],
)
def test_a_prompt_of_several_rows_counts_once_where_it_is_computed_once(once, size, letters, images):
    rows = [SftExample(f"{n}", "q" * 10, f"{n}" * 3, images=(f"{n // 2}.png",)) for n in range(4)]
    found = training_amounts(settings(size, prompt_once=once), rows)
    assert (found["letters"], found["images"]) == (letters, images)


def test_a_request_for_ratings_after_the_question_keeps_the_group():
    rows = [
        SteeredExample(f"{n}", f"question {n}", "a", images=("a.png",), original_question="question") for n in range(2)
    ]
    found = training_amounts(settings(2), rows)
    assert found["images"] == 1
    assert found["letters"] == len("question ") + 2 * 2


def test_a_labelled_answer_is_computed_with_that_of_another_row():
    rows = [LabelledAnswer("0", "q" * 10, "aaa", True), LabelledAnswer("1", "q" * 10, "bb", False)]
    assert training_amounts(settings(2), rows)["letters"] == 2 * 15
    assert training_amounts(settings(2, prefix_sharing=False), rows)["letters"] == 4 * 13


def test_the_reference_pass_of_labelled_answers_is_that_of_their_pairs():
    one, other = LabelledAnswer("0", "q" * 10, "aaa", True), LabelledAnswer("1", "q" * 10, "bb", False)
    pairs = [PreferencePair("0", "q" * 10, "aaa", "bb"), PreferencePair("1", "q" * 10, "aaa", "bb")]
    found = reference_amounts(settings(), [one, other])
    assert found == reference_amounts(settings(), pairs)
    assert found["letters"] == 10 + 3 + 2  # one prompt, whose answers are each computed once


def test_a_reference_pass_sorts_rows_and_pads_the_batches():
    train = settings(precompute_ref_batch_size=2)
    found = reference_amounts(train, [pair(0, 1), pair(1, 10), pair(2, 1), pair(3, 20)])
    assert found == {"passes": 1, "batches": 2, "letters": 12 * 2 + 50 * 2, "images": 4}


def test_a_reference_pass_keeps_pairs_of_a_prompt_together():
    train = settings(precompute_ref_batch_size=2)
    pairs = [PreferencePair(f"{n}", "q" * 10, "c" * 2 + f"{n}", "r" * 3, images=("a.png",)) for n in range(2)]
    found = reference_amounts(train, [pairs[0], pair(5, 9, "b.png"), pairs[1]])
    assert found["images"] == 2
    assert found["letters"] == (10 + 2 + 1 + 1 + 3) + 28


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (MethodConfig(train_on=TrainOn.pairs, loss_type="sigmoid"), "train/pairs"),
        (MethodConfig(train_on=TrainOn.pairs, loss_type="ipo"), "train/pairs"),
        (MethodConfig(train_on=TrainOn.pairs, losses={"sigmoid": 1.0, "sft": 1.0}), "train/pairs/sft+sigmoid"),
        (MethodConfig(train_on=TrainOn.labelled, loss_type="kto"), "train/pairs/labelled"),
        (MethodConfig(train_on=TrainOn.teacher), "train/answers"),
        (MethodConfig(train_on=TrainOn.rated_completions), "train/answers"),
    ],
)
def test_the_kind_of_a_training_is_what_its_steps_compute(method, kind):
    assert training_kind(method, ModelConfig(), settings(activation_checkpointing=False)) == kind


def test_settings_with_which_steps_take_another_time_have_a_kind_of_their_own():
    model = ModelConfig(lora=LoraConfig(use_dora=True), quantization="nf4", attn_implementation="eager")
    method = MethodConfig(train_on=TrainOn.pairs, loss_type="sigmoid")
    assert training_kind(method, model, settings()) == "train/pairs/dora/activation_checkpointing/nf4/eager"
