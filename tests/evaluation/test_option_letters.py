import pytest

from mmdpo.evaluation.option_letters import read_option, read_option_as_upstream

OPTIONS = {"A": "a red cup", "B": "a dog", "C": "None of these"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(B).", "B"),
        ("**B**", "B"),
        ("Option: C", "C"),
        ("It is A or B", None),  # two letters
        ("B is what I see in this image", None),  # not among the last four words
        ("It has been said before that the answer is B, as far as one can tell", "B"),
        ("I see a dog.", "B"),  # the text of one option
        ("a dog in a red cup", None),  # of two
        ("a dog " * 10, None),  # too long
        ("D", None),  # no option of this question
        ("b", None),
        ("Z", None),
        ("Cannot determine the answer B", None),
        ("Failed to obtain answer via API. B", None),
        ("", None),
    ],
)
def test_reading_by_fixed_rules(text: str, letter: str | None) -> None:
    assert read_option(text, OPTIONS) == read_option_as_upstream(text, OPTIONS) == letter


def test_upstream_takes_the_article_for_a_stated_option() -> None:
    text = "I have looked and the answer is a thing that nobody could name here"
    assert read_option(text, OPTIONS) is None
    assert read_option_as_upstream(text, OPTIONS) == "A"
