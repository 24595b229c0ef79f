import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.statistics import bootstrap_score, summarize
from mmdpo.evaluation.sums import f1
from mmdpo.evaluation.task import Judgment, load_task

BENCH = BenchConfig(resamples=500)


def test_the_interval_is_the_bootstraps():
    values = list(np.random.default_rng(0).normal(7, 2, 400))
    result = bootstrap_score([values], BENCH)
    error = 1.96 * np.std(values) / math.sqrt(400)
    assert result.value == pytest.approx(np.mean(values))
    assert result.low == pytest.approx(result.value - error, abs=0.06)
    assert result.high == pytest.approx(result.value + error, abs=0.06)
    assert result == bootstrap_score([values], BENCH)  # seeded


@settings(deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_the_interval_holds_the_mean(values):
    result = bootstrap_score([values], BenchConfig(resamples=50, confidence=0.99))
    assert result.n == len(values)
    assert min(values) - 1e-9 <= result.low <= result.high <= max(values) + 1e-9


def test_no_item_is_no_score_and_equal_items_have_no_spread():
    assert math.isnan(bootstrap_score([[]], BENCH).value)
    assert bootstrap_score([[3.0, 3.0]], BENCH).low == bootstrap_score([[3.0, 3.0]], BENCH).high == 3.0


def test_f1_by_hand():
    predicted, label = np.array([1, 1, 0, 0, 1.0]), np.array([1, 0, 1, 0, 1.0])
    assert f1(predicted, label) == pytest.approx(2 / 3)  # precision 2/3, recall 2/3
    assert f1(np.zeros(3), np.zeros(3)) == 0
    from sklearn.metrics import f1_score

    assert f1(predicted, label) == pytest.approx(f1_score(label, predicted))


def test_columns_are_drawn_together():
    predicted = [1.0, 0.0] * 50
    assert bootstrap_score([predicted, predicted], BENCH, f1).low == 1.0  # always right: no resample can be wrong


def test_clusters_of_one_item_are_the_items():
    values = list(np.random.default_rng(0).normal(7, 2, 40))
    assert bootstrap_score([values], BENCH, clusters=[str(n) for n in range(40)]) == bootstrap_score([values], BENCH)


def test_an_interval_over_clusters_is_that_of_the_clusters_means():
    """Four items that repeat each cluster's value carry no more information than one."""
    means = list(np.random.default_rng(1).normal(5, 1, 50))
    many = BenchConfig(resamples=4000)
    values = [value for value in means for _ in range(4)]
    clusters = [str(n) for n in range(50) for _ in range(4)]
    clustered, alone, naive = (
        bootstrap_score([values], many, clusters=clusters),
        bootstrap_score([means], many),
        bootstrap_score([values], many),
    )
    assert (clustered.value, clustered.n) == (pytest.approx(alone.value), 200)
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low, rel=0.06)
    assert clustered.high - clustered.low == pytest.approx(2 * (naive.high - naive.low), rel=0.06)


def test_an_interval_over_unequal_clusters_against_all_resamples_by_hand():
    values, clusters = [0.0, 1.0, 2.0, 6.0], ["a", "b", "b", "c"]
    members = {"a": [0.0], "b": [1.0, 2.0], "c": [6.0]}
    means = sorted(np.mean([x for name in drawn for x in members[name]]) for drawn in product("abc", repeat=3))
    result = bootstrap_score([values], BenchConfig(resamples=4000), clusters=clusters)
    assert (result.low, result.high) == (
        pytest.approx(means[0]),
        pytest.approx(means[-1]),
    )  # 1/27 of the resamples are at each end


def test_a_single_cluster_has_no_interval():
    assert math.isnan(bootstrap_score([[1.0, 2.0]], BENCH, clusters=["a", "a"]).low)


def judgment(number, score, parts, groups=None, words=1):
    return Judgment(str(number), score, parts, words, groups or {}, str(number))


def test_the_summary_of_ratings_by_hand():
    rows = [
        (10.0, (4, 4, 4), 1, {"category": "a", "distance": "far"}),
        (5.5, (4, 2, 0), 1, {"category": "b", "distance": "near"}),
        (1.0, (0, 0, 0), 0, {"category": "b"}),
    ]
    names = ("correctness", "helpfulness", "coherence")
    judgments = [
        judgment(n, value, dict(zip(names, parts, strict=True)), groups, words)
        for n, (value, parts, words, groups) in enumerate(rows)
    ]
    scores = summarize(load_task("text"), judgments, BenchConfig(resamples=20))
    assert scores[""].value == pytest.approx(5.5)
    assert scores["correctness"].value == pytest.approx(8 / 3)
    assert scores["helpfulness"].value == pytest.approx(2)
    assert scores["coherence"].value == pytest.approx(4 / 3)
    assert scores["words"].value == pytest.approx(2 / 3)
    assert scores["category/a"].value == 10
    assert (scores["distance/far"].value, scores["distance/near"].value) == (10, 5.5)
    assert "distance/" not in scores
    assert (scores["category/b"].value, scores["category/b"].n) == (3.25, 2)


def test_a_kind_with_a_single_group_is_left_out():
    judgments = [judgment(n, 1.0, dict.fromkeys(("correctness", "helpfulness", "coherence"), 0.0)) for n in range(2)]
    alike = [Judgment(j.id, j.score, j.parts, j.words, {"category": "a"}, j.cluster) for j in judgments]
    assert not any("category" in key for key in summarize(load_task("text"), alike, BenchConfig(resamples=20)))


def test_a_group_without_any_score_has_none():
    parts = dict.fromkeys(("correctness", "helpfulness", "coherence"), 0.0)
    judgments = [judgment(0, 4.0, parts, {"category": "a"}), judgment(1, None, {}, {"category": "b"})]
    scores = summarize(load_task("text"), judgments, BenchConfig(resamples=20))
    assert math.isnan(scores["category/b"].value)
    assert (scores["category/b"].n, scores["category/b"].unscored) == (0, 1)
