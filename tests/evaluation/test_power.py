"""The smallest visible difference, against a hand-derived value, statsmodels and simulated tests."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from mmdpo.evaluation.crossed import difference
from mmdpo.evaluation.power import (
    Design,
    Variances,
    clusters_for,
    seeds_for,
    smallest_visible,
    visible_of_error,
)


def test_many_items_by_hand():
    """1.960 + 0.842 standard errors, as of a normal distribution."""
    assert visible_of_error(1.0, 1e6, 0.05) == pytest.approx(2.8016, abs=1e-3)


@pytest.mark.parametrize("clusters", [8, 80])
def test_one_seed_is_the_power_of_the_t_test(clusters):
    found = smallest_visible(Variances(3.0, 1.0, 9.0), Design(clusters, comparisons=4))
    power = TTestPower().power(found / 2.0, clusters, 0.05 / 4, alternative="two-sided")
    assert power == pytest.approx(0.8, abs=2e-3)


@pytest.mark.parametrize("seeds", [2, 3])
def test_several_seeds_have_the_power_that_is_promised(seeds):
    """Tables of clusters by seeds, through the comparison itself."""
    variances, design = Variances(1.0, 0.5, 0.01), Design(40, seeds, comparisons=2)
    effect = smallest_visible(variances, design)
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(600):
        table = effect + rng.normal(0, 1.0, (40, 1)) + rng.normal(0, 0.1, (1, seeds))
        table = table + rng.normal(0, 0.5**0.5, (40, seeds))
        estimate = difference(([0.0], np.zeros((40, 1))), (list(table.mean(0)), table), 40, 0.95)
        found += estimate.p <= 0.025
    assert found / 600 == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / 600))


def test_what_is_needed_is_just_enough():
    variances, design = Variances(0.5, 2.0, 0.005), Design(80, 3, comparisons=4)
    wanted = 0.8 * smallest_visible(variances, design)
    seeds, clusters = seeds_for(wanted, variances, design), clusters_for(wanted, variances, design)
    assert seeds
    assert clusters
    assert (
        smallest_visible(variances, Design(80, seeds, 4))
        <= wanted
        < smallest_visible(variances, Design(80, seeds - 1, 4))
    )
    enough, short = (smallest_visible(variances, Design(number, 3, 4)) for number in (clusters, clusters - 1))
    assert enough <= wanted < short


def test_what_no_number_reaches_is_none():
    items_alone, seeds_alone = Variances(1.0, 0.0, 0.0), Variances(0.0, 0.0, 1.0)
    assert seeds_for(0.01, items_alone, Design(80, 3)) is None
    assert clusters_for(0.01, seeds_alone, Design(80, 3)) is None


def test_a_single_cluster_sees_nothing():
    assert smallest_visible(Variances(1.0, 0.0, 0.0), Design(1)) == math.inf
