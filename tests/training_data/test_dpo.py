from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mmdpo.config.choices import PairRule
from mmdpo.config.schema import PairsConfig
from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.records import Annotation, Completion, Prompt
from mmdpo.training_data.dpo import make_pairs, pick
from mmdpo.training_data.rated import rated
from tests.support.ratings import quality_of
from tests.support.ratings import rating as five_ratings


def rating(helpfulness, correctness, coherence):
    return five_ratings(helpfulness, correctness, coherence, 4, 0)


def test_the_papers_rule_on_a_hand_made_case():
    prompts = [Prompt("p", "What colour is it?", ("p.png",)), Prompt("q", "Why?")]
    completions = [Completion("p", index, text) for index, text in enumerate(["Red.", "Blue.", "It is red."])]
    completions += [Completion("q", index, text) for index, text in enumerate(["Because.", "So.", "Thus."])]
    annotations = [
        Annotation("p", (rating(3, 4, 3), rating(0, 0, 4), rating(4, 4, 4)), "oracle"),  # 10, 4, 12
        Annotation("q", (rating(4, 4, 4), rating(4, 4, 3), rating(4, 4, 3)), "oracle"),  # 12, 11, 11: too close
    ]
    items = list(rated(prompts, completions, annotations))
    counts = Counter[str]()
    (pair,) = make_pairs(items, PairsConfig(), RUBRIC.aggregate, 0, counts)
    assert (pair.id, pair.images, pair.chosen) == ("p", ("p.png",), "It is red.")
    assert counts == {"too_close": 1}
    rejected = {next(make_pairs(items, PairsConfig(), RUBRIC.aggregate, seed, counts)).rejected for seed in range(20)}
    assert rejected == {"Red.", "Blue."}  # any that is 2 below, drawn by the seed
    assert next(make_pairs(items, PairsConfig(margin=3), RUBRIC.aggregate, 0, counts)).rejected == "Blue."


def test_other_rules_and_aggregates_on_the_same_case():
    prompts = [Prompt("p", "What colour is it?")]
    completions = [Completion("p", index, text) for index, text in enumerate(["a", "b", "c"])]
    annotations = [Annotation("p", (rating(3, 4, 3), rating(0, 0, 4), rating(4, 4, 4)), "oracle")]

    def pairs(aggregate=RUBRIC.aggregate, **changes):
        items = rated(prompts, completions, annotations)
        made = make_pairs(items, PairsConfig(**changes), aggregate, 0, counts)
        return [(pair.id, pair.chosen, pair.rejected) for pair in made]

    counts = Counter[str]()
    assert pairs(rule=PairRule.best_worst) == [("p", "c", "b")]
    assert pairs(rule=PairRule.all) == [("p-0-1", "a", "b"), ("p-2-0", "c", "a"), ("p-2-1", "c", "b")]
    assert pairs(rule=PairRule.all, margin=3) == [("p-0-1", "a", "b"), ("p-2-1", "c", "b")]
    assert not counts
    assert pairs(aggregate=["verbosity"]) == []
    assert counts == {"tied": 1}
    assert pairs(aggregate=["helpfulness", "correctness"], rule=PairRule.best_worst) == [("p", "c", "b")]


def test_complexity_and_verbosity_do_not_rank():
    assert quality_of(five_ratings(1, 2, 3, 4, 4)) == 6


@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=8),
    st.integers(1, 12),
    st.sampled_from(PairRule),
    st.integers(),
)
def test_chosen_lies_the_margin_above_rejected(scores, margin, rule, seed):
    picked = pick(scores, PairsConfig(margin=margin, rule=rule), Random(seed))
    assert bool(picked) == (max(scores) - min(scores) >= margin)
    assert all(scores[chosen] - scores[rejected] >= margin for chosen, rejected in picked)
    if rule is not PairRule.all and picked:
        ((chosen, rejected),) = picked
        assert scores[chosen] == max(scores)
        assert rule is PairRule.random_worse or scores[rejected] == min(scores)


def test_a_prompt_without_annotation_yields_nothing():
    assert not list(rated([Prompt("p", "?")], [Completion("p", 0, "a")], []))
