from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.errors import UserError
from mmdpo.records import PreferencePair
from mmdpo.training_data.mixture import Selection, count_text_only
from mmdpo.training_data.subset import limited, subset

PAIRS = [
    PreferencePair(f"pair-{number}", "?", "good", "bad", images=() if number % 2 else ("a.png",))
    for number in range(40)
]
SHARES = st.floats(0, 1)


def ids(pairs, text_only):
    return {pair.id for pair in pairs if bool(pair.images) is not text_only}


@given(st.none() | st.integers(1, 50), SHARES, st.integers(0, 9))
def test_without_a_share_the_examples_are_taken_as_they_come(limit, scale, seed):
    selection = Selection(seed, limit, scale)
    assert selection.select(PAIRS) == subset(limited(PAIRS, limit, seed), scale, seed)
    assert selection.select(selection.candidates(PAIRS)) == selection.select(PAIRS)


@given(st.none() | st.integers(1, 20), SHARES, SHARES, SHARES, st.integers(0, 9))
def test_shares_are_exact_and_nested_in_an_equal_total(limit, scale, one, other, seed):
    low, high = sorted((one, other))
    count = round(scale * (limit or 20))
    less, more = (Selection(seed, limit, scale, share) for share in (low, high))
    few, many = less.select(PAIRS), more.select(PAIRS)
    assert len(few) == len(many) == count
    assert count_text_only(many) == round(high * count)
    assert ids(few, text_only=True) <= ids(many, text_only=True)
    assert ids(many, text_only=False) <= ids(few, text_only=False)
    assert less.select(more.candidates(PAIRS[::-1])) == few
    whole = replace(less, scale=1.0).select(PAIRS)
    assert set(few) <= set(whole)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("texts", [1, 7, 19])
def test_the_limit_that_a_refusal_names_is_the_largest_that_fits(share, texts):
    given = [pair for pair in PAIRS if pair.images] + [pair for pair in PAIRS if not pair.images][:texts]
    selection = Selection(0, text_share=share)
    if round(share * 20) <= texts:
        selection.check(given, "add text")
        return
    with pytest.raises(UserError, match="add text") as caught:
        selection.check(given, "add text")
    if "data_limit=" not in str(caught.value):
        assert (share, texts) == (0.75, 1)  # of 2 examples none would have an image
        return
    most = int(str(caught.value).partition("data_limit=")[2].split()[0])
    chosen = Selection(0, most, text_share=share)
    chosen.check(given, "add text")
    assert len(chosen.select(given)) == most
    with pytest.raises(UserError):
        Selection(0, most + 1, text_share=share).check(given, "add text")
