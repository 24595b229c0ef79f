"""Pruning at a rung: the expected loss against known values, refusals, earlier decisions, and regret in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmdpo.evaluation.halving import Forecast, Pruning, RungResult, prune

LINEAR = Forecast(correlation=0.9, growth=2.0)


def results(scores: list[float], **marks: dict[int, object]) -> list[RungResult]:
    return [
        RungResult(f"r{index}", score, **{name: of[index] for name, of in marks.items() if index in of})  # type: ignore[arg-type]
        for index, score in enumerate(scores)
    ]


def pruned_of(found: Pruning) -> set[str]:
    return {name for name, _ in found.pruned}


def test_a_reliable_ranking_keeps_the_best_half() -> None:
    found = prune(results([1.0, 3.0, 2.0, 4.0]), 1e-4, 0.5, 0.1, Forecast(1.0, 1.0))
    assert found.kept == ("r3", "r1")
    assert pruned_of(found) == {"r0", "r2"}
    assert found.reliability > 0.99
    assert found.loss < 1e-3
    assert found.refused is None


def test_the_expected_loss_of_equal_results_is_that_of_normal_maxima() -> None:
    # two results of equal score and variance 1, no correlation with the end: E max of two normals is 1 / sqrt(pi)
    noise = 1e-12
    scores = [math.sqrt(0.5), -math.sqrt(0.5)]  # variance 1
    found = prune(results(scores), noise, 0.5, 100.0, Forecast(0.0, 1.0))
    assert found.full_loss == pytest.approx(1 / math.sqrt(math.pi), rel=1e-4)


@pytest.mark.parametrize(
    ("scores", "noise", "says"),
    [
        ([1.0, 2.0, 0.3, 1.6, 0.5, 1.2], 0.3, "more than noise"),
        ([1.0, 1.4], math.nan, "unknown"),
        ([1.0, 1.0, 1.0, 1.0], 0.0, "alike"),
    ],
)
def test_nothing_is_pruned_by_a_ranking_that_says_little(scores: list[float], noise: float, says: str) -> None:
    found = prune(results(scores), noise, 0.5, 0.02, LINEAR)
    assert not found.pruned
    assert found.refused is not None
    assert says in found.refused


def test_fewer_are_pruned_where_all_would_cost_too_much() -> None:
    scores = [3.0, 2.98, 2.96, 2.94, 0.0, 0.0]
    found = prune(results(scores), 1e-3, 0.34, 0.05, LINEAR)
    assert pruned_of(found) == {"r4", "r5"}
    assert found.loss <= 0.05 < found.full_loss
    assert found.refused is not None
    assert "2 of 3" in found.refused


def test_named_results_and_earlier_decisions_stand() -> None:
    scores = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    marked = results(scores, protected={5: True}, kept={4: True, 0: False})
    found = prune(marked, 1e-4, 0.3, 10.0, LINEAR)
    assert pruned_of(found) == {"r3"}
    assert set(found.kept) == {"r1", "r2", "r4", "r5"}


def test_ruined_results_go_first_unless_their_score_speaks_for_them() -> None:
    scores = [2.0, 2.1, 2.2, 1.9, 2.3, 1.0]
    found = prune(results(scores, ruined={3: True, 4: True}), 0.5, 0.9, 0.0, LINEAR)
    assert pruned_of(found) == {"r3"}  # r4 has the best score
    assert not prune(results(scores, ruined=dict.fromkeys(range(6), True)), 0.5, 0.9, 0.0, LINEAR).pruned
    assert not prune(results([2.0, 1.0, 1.6], ruined={2: True}), 0.5, 0.9, 0.0, LINEAR).pruned  # the median is 1.5


@pytest.mark.parametrize("spread", [0.03, 0.3, 1.0])
def test_the_winner_of_simulated_studies_is_close_to_that_of_the_full_grid(spread: float) -> None:
    losses, costs = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        true = rng.normal(0, spread, 12)
        alive = list(range(12))
        cost = last = 0.0
        for share, correlation in ((0.25, 0.9), (0.5, 0.97)):
            cost, last = cost + len(alive) * (share - last), share
            drift = math.sqrt(1 - correlation**2) * spread * rng.normal(0, 1, 12)
            observed = (correlation * true + drift) * share**0.5 + rng.normal(0, 0.06, 12)
            ranked = [RungResult(str(index), observed[index]) for index in alive]
            found = prune(ranked, 0.06**2, 0.5, 0.045, Forecast(0.9, share**-0.5))
            alive = [int(name) for name in found.kept]
        costs.append((cost + len(alive) * (1 - last)) / 12)
        last_scores = true + rng.normal(0, 0.06, 12)
        losses.append(true[last_scores.argmax()] - true[max(alive, key=lambda index: last_scores[index])])
    assert np.mean(losses) <= 0.05
    assert np.mean(costs) < 0.6
