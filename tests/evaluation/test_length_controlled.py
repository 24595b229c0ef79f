"""alpaca_eval's length-controlled win rate."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mmdpo.errors import UserError
from mmdpo.evaluation.length_controlled import GamedRow, fit, length_controlled, read_gamed, upstream_values
from mmdpo.evaluation.task import Judgment


@pytest.mark.parametrize("penalty", [0.01, 1, 1000])
def test_the_fit_is_that_of_scikit_learn(penalty):
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(60, 3)), rng.choice([0.1, 1], 60)
    target = rng.uniform(size=60) * 0.5 + 0.5 * (features[:, 0] > 0)
    both = np.concatenate([features, features]), np.repeat([1, 0], 60)
    theirs = LogisticRegression(
        l1_ratio=1, solver="liblinear", C=penalty, fit_intercept=False, tol=1e-8, max_iter=10_000, random_state=123
    ).fit(*both, sample_weight=np.concatenate([target * weights, (1 - target) * weights]))
    assert fit(features, target, weights, penalty) == pytest.approx(theirs.coef_[0], abs=1e-3)


def judged(preference, longer_by, difficulty, gamed=()):
    values = {"characters": 100.0 + longer_by, "reference_characters": 100.0}
    if preference is not None:
        values["preference_0"] = preference
    return Judgment("1", None, {}, 1, upstream={**values, **upstream_values([GamedRow(0.5, 0.0, difficulty), *gamed])})


def test_a_preference_for_length_alone_is_taken_out():
    """The judge prefers the longer answer in 3 of 4 pairs, and three quarters of the answers are longer."""
    longer = [1, 1, 1, -1] * 40
    judgments = [
        judged(2.0 if (n % 16 < 12) is (by > 0) else 1.0, 50 * by, 0.0, [GamedRow(0.75, -1.0, 0.0)])
        for n, by in enumerate(longer)
    ]
    raw = 100 * np.mean([one.upstream["preference_0"] - 1 for one in judgments])
    assert raw > 60
    assert length_controlled(judgments) == pytest.approx(50, abs=3)
    judgments[0].upstream.pop("preference_0")
    assert length_controlled(judgments) == pytest.approx(50, abs=3)  # without a preference, still predicted
    judgments[0].upstream.pop("difficulty")
    assert length_controlled(judgments) is None


def test_the_table_of_gamed_baselines(tmp_path):
    path = tmp_path / "df_gamed.csv"
    header = "model,index,std_delta_len,preference,instruction_difficulty,not_gamed_baseline"
    path.write_text(f"{header}\na,0,1.5,0.25,2.0,False\na,1,0.5,0.75,1.0,False\nb,0,-1.5,0.5,2.0,False\n")
    found = read_gamed(path, "1")
    assert found == {"0": [GamedRow(0.25, 1.5, 2.0), GamedRow(0.5, -1.5, 2.0)], "1": [GamedRow(0.75, 0.5, 1.0)]}
    assert upstream_values(found["1"]) == {"difficulty": 1.0, "gamed_preference_0": 0.75, "gamed_length_0": 0.5}
    path.write_text(f"{header}\na,0,long,0.25,2.0,False\n")
    with pytest.raises(UserError, match=r"bench\.files\.alpaca_eval_gamed.*long"):
        read_gamed(path, "2")
