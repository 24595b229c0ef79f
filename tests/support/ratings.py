"""Ratings by the rubric helpsteer_1, written as five numbers."""

from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.records import Rating, quality


def rating(*values: int) -> Rating:
    """The ratings of helpfulness, correctness, coherence, complexity and verbosity."""
    return dict(zip(RUBRIC.attributes, values, strict=True))


def quality_of(found: Rating) -> int:
    """Return the score that completions are ranked by."""
    return quality(found, RUBRIC.aggregate)
