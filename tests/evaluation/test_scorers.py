"""Scorers, from answers to verdicts."""

import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.judgments import RuleJudge
from mmdpo.evaluation.scorers import by_rating, exact_match, read_yes_no, yes_no
from mmdpo.evaluation.task import Response
from mmdpo.records import Prompt, Unscored
from tests.support.ratings import rating


class NoJudge:
    """A judge that must not be asked."""

    def rate(self, items):
        pytest.fail("no judge is asked")


def items(*answers, facts=({},)):
    prompts = [Prompt(str(n), "?", facts=dict(facts[n % len(facts)])) for n in range(len(answers))]
    return [(prompt, Response(prompt.id, "?", answer)) for prompt, answer in zip(prompts, answers, strict=True)]


def test_a_score_is_the_quality_on_one_to_ten_with_its_parts():
    ratings = {"good": rating(4, 4, 4, 0, 0), "half": rating(2, 4, 0, 4, 4), "": rating(0, 0, 0, 0, 0)}
    verdicts = by_rating(items(*ratings), RuleJudge(lambda _, answer: ratings[answer], "rules"), BenchConfig())
    assert [verdict.score for verdict in verdicts] == [10, 5.5, 1]
    assert verdicts[1].parts == {"correctness": 4, "helpfulness": 2, "coherence": 0}


def test_an_answer_without_a_rating_has_a_reason_in_place_of_a_score():
    class Declines:
        def rate(self, items):
            return [Unscored("0", "empty")]

    (verdict,) = by_rating(items("x"), Declines(), BenchConfig())
    assert (verdict.score, verdict.parts, verdict.reason) == (None, {}, "empty")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Yes", True),
        ("yes.", True),
        ("Yes, there is a red circle.", True),
        ("No", False),
        ("NO!", False),
        ("no, there is none. yes.", False),
        ("There is not a circle.", False),
        ("Yes. No.", True),  # the first sentence counts
        ("A red circle.", None),
        ("", None),
        ("nothing", None),
    ],
)
def test_the_reading_of_a_yes_or_no(text, read):
    assert read_yes_no(text) is read


def test_yes_or_no_is_right_or_wrong_by_its_label():
    labels = ({"answer": ["yes"]}, {"answer": ["no"]})
    verdicts = yes_no(items("Yes.", "Yes.", "what", "no", facts=labels), NoJudge(), BenchConfig())
    assert [verdict.score for verdict in verdicts] == [1, 0, 0, 1]
    assert [verdict.parts["unparsed"] for verdict in verdicts] == [0, 0, 1, 0]


def test_an_exact_match_does_not_look_at_case_and_punctuation():
    verdicts = exact_match(
        items(" Red circle. ", "circle", "", facts=({"answer": ["red circle", "ring"]},)), NoJudge(), BenchConfig()
    )
    assert [verdict.score for verdict in verdicts] == [1, 0, 0]
