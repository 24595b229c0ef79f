from hypothesis import given
from hypothesis import strategies as st

from mmdpo.methods.subset import flip, subset
from mmdpo.records import PreferencePair

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


def flipped(share, seed):
    return {pair.id for pair in flip(PAIRS, share, seed) if pair.chosen.startswith("bad")}


@given(SHARES, SHARES, st.integers(0, 9))
def test_flips_are_nested_and_swap_both_answers(one, other, seed):
    small, large = sorted((one, other))
    assert flipped(small, seed) <= flipped(large, seed)
    assert len(flipped(large, seed)) == round(large * 40)
    for before, after in zip(PAIRS, flip(PAIRS, large, seed), strict=True):
        assert {before.chosen, before.rejected} == {after.chosen, after.rejected}
        assert before.id == after.id
