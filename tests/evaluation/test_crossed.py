"""Means over items and seeds, against hand-derived values and the tests of scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from mmdpo.evaluation.crossed import difference, estimate, pseudo_values
from mmdpo.evaluation.sums import f1


def test_one_seed_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(5, 2, 40), rng.normal(5.5, 2, 40)
    found = difference(([a.mean()], a[:, None]), ([b.mean()], b[:, None]), 40, 0.95)
    expected = stats.ttest_rel(b, a)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_items_and_seeds_by_hand():
    """Three items by two seeds; mean squares by hand: 6 of items, 6 of seeds, 0 of their interaction."""
    table = np.array([[1.0, 3.0], [2.0, 4.0], [4.0, 6.0]]) - 10 / 3
    found = estimate([table[:, 0].mean(), table[:, 1].mean()], table, 3, 0.95)
    of_items, of_seeds = 2 * np.var([2, 3, 5], ddof=1), 3 * np.var([7 / 3, 13 / 3], ddof=1)
    assert found.error**2 == pytest.approx((of_items + of_seeds) / 6)
    assert found.df == pytest.approx((of_items + of_seeds) ** 2 / (of_items**2 / 2 + of_seeds**2))
    assert found.value == pytest.approx(0.0)


def test_pseudo_values_of_a_mean_are_the_items():
    value, pseudo = pseudo_values([[1.0, 2.0, 6.0]], ["a", "b", "c"])
    assert value == 3
    assert pseudo == pytest.approx([1, 2, 6])


def test_pseudo_values_of_f1_leave_out_clusters():
    predicted, label = [1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]
    value, pseudo = pseudo_values([predicted, label], ["a", "a", "b", "c"], f1)
    assert value == pytest.approx(4 / 6)
    without = [2 / 3, 4 / 5, 2 / 4]  # 2 * hits / (predicted + label) without a, b and c
    assert pseudo == pytest.approx([3 * value - 2 * other for other in without])


def test_equal_differences_are_not_proof_with_few_items():
    table = np.ones((3, 1))
    assert estimate([1.0], table, 3, 0.95).p == 0.25


def test_a_single_cluster_has_no_interval():
    found = estimate([1.0], np.ones((1, 1)), 5, 0.95)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
