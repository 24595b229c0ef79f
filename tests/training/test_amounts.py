"""Amounts of work, against numbers derived by hand."""

from __future__ import annotations

from mmdpo.config.schema import TrainConfig
from mmdpo.records import PreferencePair, SftExample
from mmdpo.training.amounts import reference_amounts, training_amounts


def pair(number: int, letters: int) -> PreferencePair:
    return PreferencePair(f"{number}", "q" * 10, "c" * letters, "r" * letters, images=("a.png",))


def test_a_training_of_four_equal_pairs():
    train = TrainConfig(name="t", per_device_train_batch_size=2, gradient_accumulation_steps=1, num_train_epochs=3)
    pairs = [pair(number, 5) for number in range(4)]
    whole = {"trainings": 1, "steps": 6, "batches": 6, "letters": 4 * 20 * 3, "images": 12}
    assert training_amounts(train, pairs) == whole
    third = {unit: amount / 3 for unit, amount in whole.items()} | {"trainings": 1}
    assert training_amounts(train, pairs, steps=2) == third


def test_answers_with_rows_of_their_own_repeat_the_prompt():
    train = TrainConfig(name="t", per_device_train_batch_size=1, gradient_accumulation_steps=1, prefix_sharing=False)
    train.num_train_epochs = 1
    assert training_amounts(train, [pair(0, 5)])["letters"] == 30
    assert training_amounts(train, [SftExample("0", "q" * 10, "a" * 5)])["letters"] == 15


def test_a_reference_pass_sorts_rows_and_pads_the_batches():
    train = TrainConfig(name="t", precompute_ref_batch_size=2)
    found = reference_amounts(train, [pair(0, 1), pair(1, 10), pair(2, 1), pair(3, 20)])
    assert found == {"passes": 1, "batches": 2, "letters": 12 * 2 + 50 * 2, "images": 4}
