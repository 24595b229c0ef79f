import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.statistics import score
from mmdpo.evaluation.tasks.nano_presence import f1

BENCH = BenchConfig(resamples=500)


def test_the_interval_is_the_bootstraps():
    values = list(np.random.default_rng(0).normal(7, 2, 400))
    result = score([values], BENCH)
    error = 1.96 * np.std(values) / math.sqrt(400)
    assert result.value == pytest.approx(np.mean(values))
    assert result.low == pytest.approx(result.value - error, abs=0.06)
    assert result.high == pytest.approx(result.value + error, abs=0.06)
    assert result == score([values], BENCH)  # seeded


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_the_interval_holds_the_mean(values):
    result = score([values], BenchConfig(resamples=50, confidence=0.99))
    assert result.n == len(values)
    assert min(values) - 1e-9 <= result.low <= result.high <= max(values) + 1e-9


def test_no_item_is_no_score_and_equal_items_have_no_spread():
    assert math.isnan(score([[]], BENCH).value)
    assert score([[3.0, 3.0]], BENCH).low == score([[3.0, 3.0]], BENCH).high == 3.0


def test_f1_by_hand():
    said, truth = np.array([1, 1, 0, 0, 1.0]), np.array([1, 0, 1, 0, 1.0])
    assert f1(said, truth) == pytest.approx(2 / 3)  # precision 2/3, recall 2/3
    assert f1(np.zeros(3), np.zeros(3)) == 0
    from sklearn.metrics import f1_score

    assert f1(said, truth) == pytest.approx(f1_score(truth, said))


def test_columns_are_drawn_together():
    said = [1.0, 0.0] * 50
    assert score([said, said], BENCH, f1).low == 1.0  # always right: no resample can be wrong
