"""Scores and gains as the summary of a W&B run."""

import math

from mmdpo.analysis.gains import Gain, GainVerdict
from mmdpo.dashboard.summaries import gain_summary, score_summary
from mmdpo.evaluation.crossed import Estimate
from mmdpo.evaluation.statistics import Score


def test_scores_have_their_intervals_and_counts() -> None:
    scores = {"text": Score(7.5, 240, 7.1, 7.9, 3), "text/words": Score(6.0, 240, 5.0, 7.0, 0)}
    assert score_summary(scores) == {
        **{"text": 7.5, "text_low": 7.1, "text_high": 7.9, "text_n": 240, "text_unscored": 3},
        "text/words": 6.0,
    }


def test_what_is_not_known_is_left_out() -> None:
    assert score_summary({"text": Score(7.5, 1, math.nan, math.nan, 0)}) == {"text": 7.5, "text_n": 1}
    alone = Estimate(0.5, math.nan, math.nan, math.nan, 1, 1, 1, math.nan, math.nan)
    assert gain_summary({"text": Gain("text", alone), "visual": None}) == {"text_gain": 0.5}


def test_gains_have_the_verdict_of_the_whole_study() -> None:
    one = Estimate(0.5, 0.25, 0.75, 0.001, 240, 240, 3, 0.1, 239)
    assert gain_summary({"text": Gain("text", one, 0.004, GainVerdict.better)}) == {
        **{"text_gain": 0.5, "text_gain_low": 0.25, "text_gain_high": 0.75},
        **{"text_p_corrected": 0.004, "text_verdict": "better"},
    }
