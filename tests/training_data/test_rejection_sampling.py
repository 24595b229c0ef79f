from hypothesis import given
from hypothesis import strategies as st

from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.records import Prompt, SftExample, Turn
from mmdpo.training_data.rated import Rated
from mmdpo.training_data.rejection_sampling import best_completions
from tests.support.ratings import quality_of, rating

PROMPT = Prompt("p", "What colour is it?", ("p.png",), (Turn("Is it there?", "Yes."),))
SCORE = st.integers(0, 4)
RATINGS = st.lists(st.builds(rating, SCORE, SCORE, SCORE, SCORE, SCORE), min_size=1, max_size=6)


def best(ratings):
    texts = [f"answer {index}" for index in range(len(ratings))]
    (example,) = best_completions([Rated(PROMPT, texts, ratings)], RUBRIC.aggregate)
    return texts.index(example.answer), example


def test_the_example_is_the_prompt_with_its_best_completion():
    low, high = rating(1, 0, 4, 4, 4), rating(4, 4, 4, 0, 0)  # style does not rank
    assert best([low, high, low])[1] == SftExample(
        "p", "What colour is it?", "answer 1", ("p.png",), (Turn("Is it there?", "Yes."),), high
    )


@given(RATINGS)
def test_none_is_better_and_of_equals_the_first_is_taken(ratings):
    index, _ = best(ratings)
    assert all(quality_of(other) < quality_of(ratings[index]) for other in ratings[:index])
    assert all(quality_of(other) <= quality_of(ratings[index]) for other in ratings)
