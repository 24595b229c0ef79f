"""A control that prefers the longer answer, to find out whether the judge matters or only the length."""

from __future__ import annotations

from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.records import Prompt, Rating

RATES_BY = "helpsteer_1"


def rate(prompt: Prompt, text: str) -> Rating:
    """Return a rating whose quality is the number of words, up to 12; its attributes have no other meaning."""
    words, (low, high) = len(text.split()), RUBRIC.scale
    rating = dict.fromkeys(RUBRIC.attributes, low)
    for index, name in enumerate(RUBRIC.aggregate):
        rating[name] = min(high, max(low, words - high * index))
    rating["verbosity"] = min(high, words // 3)
    return rating
