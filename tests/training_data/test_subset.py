from hypothesis import given
from hypothesis import strategies as st

from mmdpo.records import PreferencePair, SftExample
from mmdpo.training_data.subset import flip, limited, subset

PAIRS = [PreferencePair(f"pair-{number}", "?", f"good {number}", f"bad {number}") for number in range(40)]
SHARES = st.floats(0, 1)


def ids(pairs):
    return {pair.id for pair in pairs}


@given(SHARES, SHARES, st.integers(0, 9))
def test_subsets_are_nested(one, other, seed):
    small, large = sorted((one, other))
    assert ids(subset(PAIRS, small, seed)) <= ids(subset(PAIRS, large, seed))
    assert len(subset(PAIRS, small, seed)) == round(small * 40)


def test_the_order_depends_on_the_seed_and_not_on_the_files_order():
    assert subset(PAIRS, 0.5, 0) == subset(PAIRS[::-1], 0.5, 0)
    assert subset(PAIRS, 0.5, 0) != subset(PAIRS, 0.5, 1)
    assert ids(subset(PAIRS, 1, 0)) == ids(PAIRS)


LIMITS = st.none() | st.integers(1, 50)


@given(LIMITS, LIMITS, SHARES, SHARES, st.integers(0, 9))
def test_a_limit_takes_the_first_of_the_same_order_and_a_share_is_of_those(one, other, share, more, seed):
    small, large = sorted((one, other), key=lambda limit: 99 if limit is None else limit)
    low, high = sorted((share, more))
    few, many = (limited(PAIRS, limit, seed) for limit in (small, large))
    assert len(few) == min(40, small or 40)
    assert many[: len(few)] == few
    assert len(subset(few, low, seed)) == round(low * len(few))
    assert ids(subset(few, low, seed)) <= ids(subset(few, high, seed)) <= ids(few)
    assert ids(subset(few, low, seed)) <= ids(subset(many, low, seed))


def test_pairs_and_examples_of_one_id_have_one_order():
    examples = [SftExample(pair.id, "?", "answer") for pair in PAIRS]
    assert [pair.id for pair in limited(PAIRS, 9, 3)] == [example.id for example in limited(examples, 9, 3)]


def flipped(share, seed, pairs=PAIRS):
    return {pair.id for pair in flip(pairs, share, seed) if pair.chosen.startswith("bad")}


@given(SHARES, SHARES, st.integers(0, 9))
def test_flips_are_nested_and_swap_both_answers(one, other, seed):
    small, large = sorted((one, other))
    assert flipped(small, seed) <= flipped(large, seed)
    assert len(flipped(large, seed)) == round(large * 40)
    for before, after in zip(PAIRS, flip(PAIRS, large, seed), strict=True):
        assert {before.chosen, before.rejected} == {after.chosen, after.rejected}
        assert before.id == after.id


@given(SHARES, SHARES, st.integers(1, 40), st.integers(0, 9))
def test_flips_of_a_limited_set_are_nested(one, other, limit, seed):
    small, large = sorted((one, other))
    pairs = limited(PAIRS, limit, seed)
    assert flipped(small, seed, pairs) <= flipped(large, seed, pairs)
    assert len(flipped(large, seed, pairs)) == round(large * len(pairs))
