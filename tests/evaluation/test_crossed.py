"""Means over items and seeds, against hand-derived values and the tests of scipy and statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from mmdpo.evaluation.crossed import difference, estimate, mean_squares, pseudo_values
from mmdpo.evaluation.sums import f1, mean, precision, recall, share


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


def _anova(table):
    """Return the mean squares of items, seeds and the rest by statsmodels."""
    frame = pd.DataFrame([(i, s, value) for (i, s), value in np.ndenumerate(table)], columns=["item", "seed", "value"])
    found = anova_lm(ols("value ~ C(item) + C(seed)", frame).fit())
    return tuple(found["mean_sq"])


def test_mean_squares_are_those_of_statsmodels():
    table = np.random.default_rng(2).normal(size=(7, 3)) + np.arange(7)[:, None] + np.array([0.0, 1.0, 5.0])
    assert mean_squares(table) == pytest.approx(_anova(table))


def test_seeds_are_paired_where_they_are_the_same():
    """What seeds have in common on both sides cancels."""
    rng = np.random.default_rng(3)
    a = rng.normal(size=(50, 3)) + np.array([0.0, 3.0, -3.0])
    b = a + 0.5 + rng.normal(0, 0.1, size=(50, 3))
    sides = [(list(one.mean(axis=0)), one) for one in (a, b)]
    paired, apart = (difference(*sides, 50, 0.95, same_seeds=same) for same in (True, False))
    assert paired.value == pytest.approx(apart.value)
    assert paired.error < 0.1 < apart.error
    of_seeds = [(mean_squares(one)[1] - mean_squares(one)[2]) / one.size for one in (a, b)]
    of_items = np.var(b.mean(axis=1) - a.mean(axis=1), ddof=1) / 50
    assert apart.error**2 == pytest.approx(of_items + sum(of_seeds))


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_model_adds_no_variance_of_seeds(seeds):
    """A base of one model is fixed: the difference from it is that of the table of differences."""
    rng = np.random.default_rng(4)
    base, table = rng.normal(size=(30, 1)), rng.normal(size=(30, seeds)) + np.arange(seeds)
    found = difference(([base.mean()], base), (list(table.mean(axis=0)), table), 30, 0.95)
    differences = table - base
    expected = estimate(list(differences.mean(axis=0)), differences, 30, 0.95)
    assert (found.value, found.error, found.df) == pytest.approx((expected.value, expected.error, expected.df))
    if seeds == 1:
        assert found.seed_variance == 0


def test_few_seeds_count_also_where_they_vary_little():
    """Degrees of freedom by hand: mean squares 8 of items, 0 of seeds, 8/3 of the rest, so that seeds add 0."""
    table = np.array([[1.0, -1.0], [-1.0, 1.0], [3.0, 1.0], [-3.0, -1.0]])
    found = estimate([0.0, 0.0], table, 4, 0.95)
    of_items, of_seeds, rest = mean_squares(table)
    assert (of_seeds, rest) == pytest.approx((0.0, 8 / 3))
    assert found.error**2 == pytest.approx(of_items / 8)
    assert found.df == pytest.approx(3.0)
    assert found.seed_variance == pytest.approx(-2 / 3)


@pytest.mark.parametrize(("differing", "p"), [(0, 1.0), (1, 1.0), (4, 0.125)])
def test_p_is_at_least_that_of_the_sign_test(differing, p):
    """Four of 100 items differ, all in the same direction: 2 of 16 outcomes are as extreme."""
    b = np.zeros((100, 1))
    b[:differing] = 1.0
    found = difference(([0.0], np.zeros((100, 1))), ([b.mean()], b), 100, 0.95, differing=differing)
    assert found.p == pytest.approx(p)


@pytest.mark.parametrize("statistic", [f1, share, precision, recall, mean])
def test_sums_leave_out_clusters_as_the_columns_do(statistic):
    rng = np.random.default_rng(5)
    columns = list((rng.random((1 if statistic is mean else 2, 40)) < 0.6).astype(float))
    clusters = [str(number % 7) for number in range(40)]
    fast = pseudo_values(columns, clusters, statistic)
    slow = pseudo_values(columns, clusters, lambda *values, axis: statistic(*values, axis=axis))
    assert fast[0] == slow[0]
    assert fast[1] == pytest.approx(slow[1])
