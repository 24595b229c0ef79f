import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.tasks.nano_presence import judge, says_yes, summarize
from mmdpo.records import Prompt


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes", True),
        ("yes.", True),
        ("Yes, there is a red circle.", True),
        ("No", False),
        ("no, there is none. yes.", False),
        ("There is not a circle.", False),
        ("Yes. No.", True),  # the first sentence counts
        ("A red circle.", None),
        ("", None),
        ("nothing", None),
    ],
)
def test_the_reading_of_an_answer(text, said):
    assert says_yes(text) is said


def test_the_summary_of_four_answers_by_hand():
    truths, texts = ["yes", "yes", "no", "no"], ["yes", "no", "no", "what"]
    items = [
        judge(Prompt(str(n), "?", facts={"answer": [truth]}), text, lambda *_: pytest.fail("no judge is asked"))
        for n, (truth, text) in enumerate(zip(truths, texts, strict=True))
    ]
    scores = summarize(items, BenchConfig(resamples=20))
    assert scores[""].value == 0.5
    assert scores["f1"].value == pytest.approx(2 / 3)  # one hit, one missed, none wrong
    assert scores["yes_ratio"].value == 0.25
    assert scores["unparsed"].value == 0.25
    assert scores["words"].value == 1
