"""The order of rows in groups."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from mmdpo.training.group_order import order_of_groups
from mmdpo.training.group_sampler import GroupSampler


def batches(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def touched(groups: list[int], order: list[int], size: int) -> Counter[int]:
    """Count the batches that hold rows of each group."""
    return Counter(group for batch in batches(order, size) for group in {groups[row] for row in batch})


def test_groups_that_fit_are_not_split() -> None:
    groups = [0, 1, 2] * 4 + [3, 3, 4, 4]  # three of four rows, two of two
    order = order_of_groups(groups, 8, random.Random(0))
    assert sorted(order) == list(range(16))
    assert set(touched(groups, order, 8).values()) == {1}


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_split_only_if_it_must_be(seed: int) -> None:
    groups = [0] * 7 + [1] * 3 + [2] * 3 + [3]
    order = order_of_groups(groups, 4, random.Random(seed))
    assert sorted(order) == list(range(14))
    found = touched(groups, order, 4)
    assert found[3] == 1
    assert sum(found.values()) <= 8  # 7 + 3 + 3 + 1 rows in batches of 4: 7 is split in any case


def test_the_order_is_another_one_in_each_epoch_and_for_each_seed() -> None:
    groups = [row // 2 for row in range(40)]

    def order(seed: int, epoch: float) -> list[int]:
        return list(GroupSampler(groups, 8, 4, seed, lambda: epoch))

    assert order(0, 0.0) == order(0, 0.5) == order(0, 0.0)  # resumed in the middle
    assert order(0, 2.0) == order(0, 3 - 1.0)
    assert len({tuple(order(seed, epoch)) for seed in range(2) for epoch in (0.0, 1.0)}) == 4
    assert sorted(order(0, 0.0)) == list(range(40))


@pytest.mark.parametrize("batch_size", [1, 2, 4, 8])
def test_a_steps_rows_do_not_depend_on_its_batches(batch_size: int) -> None:
    groups = [row // 3 for row in range(36)]
    whole, divided = (list(GroupSampler(groups, 8, size, 0, lambda: 0.0)) for size in (8, batch_size))
    assert [set(step) for step in batches(whole, 8)] == [set(step) for step in batches(divided, 8)]
