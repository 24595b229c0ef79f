import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.scorers import judged, summarize
from mmdpo.records import Prompt
from tests.support.ratings import rating


def test_a_score_is_the_merit_on_one_to_ten_with_its_parts():
    rate = {"good": rating(4, 4, 4, 0, 0), "half": rating(2, 4, 0, 4, 4), "": rating(0, 0, 0, 0, 0)}
    items = [
        judged(Prompt(text, "?", category=category, facts=facts), text, lambda _, answer: rate[answer])
        for text, category, facts in [
            ("good", "a", {"distance": "far"}),
            ("half", "b", {"distance": "near"}),
            ("", "b", {}),
        ]
    ]
    assert [item.score for item in items] == [10, 5.5, 1]
    scores = summarize(items, BenchConfig(resamples=20))
    assert scores[""].value == pytest.approx(5.5)
    assert scores["correctness"].value == pytest.approx(8 / 3)
    assert scores["helpfulness"].value == pytest.approx(2)
    assert scores["coherence"].value == pytest.approx(4 / 3)
    assert scores["words"].value == pytest.approx(2 / 3)
    assert scores["category/a"].value == 10
    assert (scores["distance/far"].value, scores["distance/near"].value) == (10, 5.5)
    assert "distance/" not in scores
    assert (scores["category/b"].value, scores["category/b"].n) == (3.25, 2)
