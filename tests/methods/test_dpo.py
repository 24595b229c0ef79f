from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mmdpo.methods.dpo import make_pairs, pick
from mmdpo.methods.rated import rated
from mmdpo.records import Annotation, Completion, Prompt, Rating


def rating(helpfulness, correctness, coherence):
    return Rating(helpfulness, correctness, coherence, complexity=4, verbosity=0)


def test_the_papers_rule_on_a_hand_made_case():
    prompts = [Prompt("p", "What colour is it?", "p.png"), Prompt("q", "Why?")]
    completions = [Completion("p", index, text) for index, text in enumerate(["Red.", "Blue.", "It is red."])]
    completions += [Completion("q", index, text) for index, text in enumerate(["Because.", "So.", "Thus."])]
    annotations = [
        Annotation("p", (rating(3, 4, 3), rating(0, 0, 4), rating(4, 4, 4)), "oracle"),  # 10, 4, 12
        Annotation(
            "q", (rating(4, 4, 4), rating(4, 4, 3), rating(4, 4, 3)), "oracle"
        ),  # 12, 11, 11: too close
    ]
    items = list(rated(prompts, completions, annotations))
    (pair,) = make_pairs(items, margin=2, seed=0)
    assert (pair.id, pair.image, pair.chosen) == ("p", "p.png", "It is red.")
    rejected = {next(make_pairs(items, 2, seed)).rejected for seed in range(20)}
    assert rejected == {"Red.", "Blue."}  # any that is 2 below, drawn by the seed
    assert next(make_pairs(items, 3, 0)).rejected == "Blue."


def test_complexity_and_verbosity_do_not_rank():
    assert Rating(1, 2, 3, complexity=4, verbosity=4).merit == 6


@given(st.lists(st.integers(0, 12), min_size=2, max_size=8), st.integers(1, 12), st.integers())
def test_chosen_is_best_and_rejected_lies_the_margin_below(merits, margin, seed):
    picked = pick(merits, margin, Random(seed))
    if picked is None:
        assert max(merits) - min(merits) < margin
    else:
        chosen, rejected = picked
        assert merits[chosen] == max(merits)
        assert merits[rejected] <= merits[chosen] - margin


def test_a_prompt_without_annotation_yields_nothing():
    assert not list(rated([Prompt("p", "?")], [Completion("p", 0, "a")], []))
