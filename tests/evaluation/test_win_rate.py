"""Win rates, adjusted for length, and alpaca_eval's columns."""

import numpy as np
import pytest

from mmdpo.evaluation.task import Judgment
from mmdpo.evaluation.win_rate import count, length_adjusted, standard_error, upstream_scores


def test_upstreams_columns_by_hand():
    """Preferences 2, 1, 1.5, 0 and null: 0 is an old spelling of a draw, and null is dropped."""
    preferences = [2.0, 1.0, 1.5, 0.0, None]
    judgments = [
        Judgment(str(n), None, {}, 1, upstream={"characters": 10.0 + n, **({} if p is None else {"preference_0": p})})
        for n, p in enumerate(preferences)
    ]
    assert upstream_scores(judgments) == {
        "": 50.0,
        "standard_error": pytest.approx(20.412, abs=1e-3),
        "wins": 1,
        "wins_base": 1,
        "draws": 2,
        "n_total": 4,
        "avg_length": 12,
    }
    assert upstream_scores([*judgments, Judgment("5", None, {}, 0)])["avg_length"] == 12  # an answer is missing
    assert "standard_error" not in upstream_scores(judgments[:1])
    assert upstream_scores(judgments[4:]) == {}


def test_the_standard_error_of_scores():
    scores = np.array([[100.0, 0, 50, 50], [100, 100, 100, 100]])
    assert standard_error(scores) == pytest.approx([20.412, 0], abs=1e-3)
    assert standard_error(scores.T, axis=0) == pytest.approx([20.412, 0], abs=1e-3)
    assert np.isnan(standard_error(scores[:, :1])).all()
    assert list(count(scores == 50)) == [2, 0]


def test_the_adjusted_rate_is_the_logistic_level_at_equal_lengths():
    """Wins are 3 of 4 among longer answers and 1 of 2 among shorter ones: in the middle the logits' mean."""
    longer = np.repeat([10.0, -10.0], 400)
    score = np.concatenate([np.tile([100.0, 100, 100, 0], 100), np.tile([100.0, 0], 200)])
    logit = (np.log(3) + 0) / 2
    expected = 100 / (1 + np.exp(-logit))
    assert length_adjusted(score, longer) == pytest.approx(expected, abs=0.01)
    assert length_adjusted(score, -longer) == pytest.approx(expected, abs=0.01)
    several = length_adjusted(np.stack([score, 100 - score]), np.stack([longer, longer]))
    assert several == pytest.approx([expected, 100 - expected], abs=0.01)
    assert length_adjusted(score[:, None], longer[:, None], axis=0) == pytest.approx([expected], abs=0.01)


@pytest.mark.parametrize(
    ("score", "longer", "low", "high"),
    [
        ([100.0, 0, 0, 0], [7.0] * 4, 24.9, 25.1),  # nothing to adjust
        ([100.0] * 50, list(range(50)), 99, 100),
        ([0.0] * 50, list(range(50)), 0, 1),
        ([0.0] * 25 + [100.0] * 25, [-1.0] * 25 + [1.0] * 25, 49.9, 50.1),  # length decides all
        ([100.0], [3.0], 50, 100),
    ],
)
def test_extremes_stay_finite(score, longer, low, high):
    assert low <= length_adjusted(np.array(score), np.array(longer)) <= high
