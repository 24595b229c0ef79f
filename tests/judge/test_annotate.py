import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.config import options
from mmdpo.errors import UserError
from mmdpo.judge import longer
from mmdpo.judge.annotate import JUDGES, annotate, judge_named
from mmdpo.records import Completion, Prompt


def test_every_judge_of_the_config_is_there():
    assert set(options("judge")) == set(JUDGES)
    with pytest.raises(UserError, match="allowed are oracle"):
        judge_named("gemini9")


def test_ratings_stand_in_the_order_of_the_completions():
    completions = [Completion("p", 0, "one two three"), Completion("p", 1, "one"), Completion("q", 0, "")]
    first, second = annotate([Prompt("p", "?"), Prompt("q", "?")], completions, "longer")
    assert [rating.merit for rating in first.ratings] == [3, 1]
    assert (second.prompt_id, second.ratings[0].merit, second.judge) == ("q", 0, "longer")


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_control_prefers_the_longer_answer(one, other):
    merits = [longer.rate(Prompt("p", "?"), "word " * length).merit for length in (one, other)]
    assert merits == [one, other]
    assert all(0 <= part <= 4 for part in vars(longer.rate(Prompt("p", "?"), "word " * one)).values())
