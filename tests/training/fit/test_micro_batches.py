"""Micro-batches before they are made: the trainer's order of rows, and the positions of the collator's batches."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from accelerate.data_loader import SeedableRandomSampler

from mmdpo.config.schema import ModelConfig, TrainConfig
from mmdpo.models.loading import load_processor
from mmdpo.records import PreferencePair
from mmdpo.training.collate import Collator
from mmdpo.training.fit.micro_batches import MicroBatches, Order
from mmdpo.training.fit.plan import Steps
from mmdpo.training.prompt_groups import GROUP
from mmdpo.training.rows import Row, tokenize_examples
from tests.support.tiny import Tiny

ANSWERS = ("a red star", "two", "no left yes right blue green", "the circle")


@pytest.fixture(scope="module")
def processor(tiny: Tiny) -> Any:
    return load_processor(ModelConfig(path=str(tiny.model)))


def mixed_rows(tiny: Tiny, processor: Any) -> list[Row]:
    """Rows of different lengths, some without an image."""
    return tokenize_examples(tiny.pairs, tiny.images, processor, TrainConfig()).rows


def grouped_rows(tiny: Tiny, processor: Any) -> list[Row]:
    """All pairs of four answers to each of three prompts."""
    found = [
        PreferencePair(f"{source.id}-{a}-{b}", source.question, ANSWERS[a], ANSWERS[b], source.images)
        for source in tiny.pairs[:3]
        for a in range(4)
        for b in range(a)
    ]
    rows = tokenize_examples(found, tiny.images, processor, TrainConfig()).rows
    return [row | {GROUP: index // 6} for index, row in enumerate(rows)]


@pytest.mark.parametrize(("make", "shared"), [(mixed_rows, True), (mixed_rows, False), (grouped_rows, True)])
@pytest.mark.parametrize("size", [1, 3, 4])
def test_positions_are_those_of_the_collators_batches(
    tiny: Tiny, processor: Any, make: Any, shared: bool, size: int
) -> None:
    rows, collator, grouped = make(tiny, processor), Collator(processor, shared), make is grouped_rows
    batches = MicroBatches(rows, collator, Steps(len(rows), 12, 1), epochs=2)
    made = [collator([rows[index] for index in indices]) for indices in batches.indices(size)]
    positions = [batch["model"]["input_ids"].numel() for batch in made]
    assert batches.most_positions(size) == max(positions)
    largest = [collator(rows) for rows in batches.largest(size)]
    assert largest[0]["model"]["input_ids"].numel() == max(positions)
    if not grouped:
        assert max(len(batch["labels"]) for batch in largest) == max(len(batch["labels"]) for batch in made)
    assert batches.mean_positions(size) == pytest.approx(sum(positions) / (2 * len(rows)))


def test_the_order_is_that_of_the_trainers_sampler(tiny: Tiny, processor: Any) -> None:
    rows = mixed_rows(tiny, processor)
    batches = MicroBatches(rows, Collator(processor, True), Steps(len(rows), 5, 1), seed=3, epochs=2)
    sampler = SeedableRandomSampler(rows, data_seed=3)
    expected = [[*sampler], [*sampler]]  # two epochs
    assert expected[0] != expected[1]
    per_epoch = -(-len(rows) // 5)
    found = batches.indices(5)
    assert [[*chain(*found[:per_epoch])], [*chain(*found[per_epoch:])]] == expected


def test_other_orders(tiny: Tiny, processor: Any) -> None:
    rows = mixed_rows(tiny, processor)
    steps, collator = Steps(len(rows), 2, 1), Collator(processor, True)
    assert MicroBatches(rows, collator, steps, order=Order.as_given).indices(2)[:2] == [[0, 1], [2, 3]]
    by_length = MicroBatches(rows, collator, steps, order=Order.by_length)
    longest = by_length.most_positions(1)
    assert all(collator([row])["model"]["input_ids"].numel() >= longest - 2 for row in by_length.largest(2)[0])
