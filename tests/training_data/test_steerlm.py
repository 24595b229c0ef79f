import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.nano.words import attribute_sentence
from mmdpo.records import Prompt, SftExample
from mmdpo.training_data.rated import Rated
from mmdpo.training_data.steerlm import rated_completions, request, steered
from tests.support.ratings import rating as five_ratings

ATTRIBUTES = {"helpfulness": 4, "correctness": 3, "coherence": 2, "complexity": 1, "verbosity": 0}


def test_every_completion_is_learnt_with_the_rating_it_has():
    good, bad = five_ratings(4, 4, 4, 1, 1), five_ratings(0, 0, 2, 0, 0)
    items = [Rated(Prompt(name, "Why?", ("p.png",)), ["So.", "No."], [good, bad]) for name in ("p", "q")]
    examples = list(rated_completions(items))
    assert examples[:2] == [
        SftExample("p-0", "Why?", "So.", ("p.png",), (), good),
        SftExample("p-1", "Why?", "No.", ("p.png",), (), bad),
    ]
    assert len({example.id for example in examples}) == 4


def test_the_request_is_the_papers_sentence_after_the_question():
    template = compose_config(["model=llava_1_5_13b"]).model.attribute_template
    assert request("Why is it {red}?", ATTRIBUTES, template) == (
        "Why is it {red}?\nHelpfulness:4,Correctness:3,Coherence:2,Complexity:1,Verbosity:0"
    )


def test_the_miniatures_request_is_the_sentence_that_its_models_were_made_with():
    template = compose_config().model.attribute_template
    sentence = attribute_sentence(list(ATTRIBUTES.values()))
    assert request("Is there a bar?", ATTRIBUTES, template) == f"Is there a bar? {sentence}"


@pytest.mark.parametrize("rating", [five_ratings(4, 3, 2, 1, 0), five_ratings(0, 0, 0, 4, 4)])
def test_an_example_asks_for_its_own_rating(rating):
    stored = dict(sorted(rating.items()))  # files keep the keys sorted; the rubric's order counts
    example = steered(SftExample("p-0", "Why?", "So.", ("p.png",), (), stored), "{question} [{attributes}]", ATTRIBUTES)
    assert example.question == "Why? " + (
        f"[Helpfulness:{rating['helpfulness']},Correctness:{rating['correctness']},Coherence:{rating['coherence']},"
        f"Complexity:{rating['complexity']},Verbosity:{rating['verbosity']}]"
    )
    assert (example.id, example.answer, example.images) == ("p-0", "So.", ("p.png",))
