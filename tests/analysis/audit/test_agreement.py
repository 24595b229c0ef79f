"""Agreement of ratings, against values derived by hand, and length against made-up relations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmdpo.analysis.audit.agreement import agreement, krippendorff_alpha
from mmdpo.analysis.audit.estimates import Finding, corrected, estimate_of, finding_text
from mmdpo.analysis.audit.length import centred, length_bias


def test_alpha_is_that_of_the_definition() -> None:
    # Ratings (1,1) (1,2) (3,3): the observed squared difference of the six ordered pairs is 2/6; that expected of the
    # six ratings 1 1 1 2 3 3 is 2 * (1+1+1 + 3*2*4 + 2*1) / 30 = 58/30
    assert krippendorff_alpha(np.array([1.0, 1, 3]), np.array([1.0, 2, 3])) == pytest.approx(1 - (2 / 6) / (58 / 30))


def test_shares_and_shift_are_those_counted_by_hand() -> None:
    found = agreement([[0, 2, 4, 4], [0, 3, 1, 4]], ["a", "b", "c", "d"], 0.95)
    assert found is not None
    assert found.shift is not None
    assert (found.n, found.equal.value, found.within.value, found.shift.value) == (4, 0.5, 0.75, -0.5)
    assert 0 <= found.equal.low < 0.5 < found.equal.high <= 1


def test_equal_constant_ratings_have_no_alpha_and_one_rating_no_agreement() -> None:
    found = agreement([[3, 3], [3, 3]], ["a", "b"], 0.95)
    assert found is not None
    assert (found.equal.value, found.alpha) == (1.0, None)
    assert agreement([[3.0, 2.0], [math.nan, math.nan]], ["a", "b"], 0.95) is None
    assert agreement([[], []], [], 0.95) is None


def test_an_item_counts_with_two_of_three_ratings() -> None:
    found = agreement([[1, 2, 3], [1, 2, math.nan], [2, math.nan, math.nan]], ["a", "b", "c"], 0.95)
    assert found is not None
    assert found.n == 2
    assert found.equal.value == pytest.approx((1 / 3 + 1) / 2)
    assert found.shift is None


def test_the_interval_is_over_clusters() -> None:
    ratings = [[0.0, 0, 1, 1] * 10, [0.0, 0, 0, 0] * 10]
    alone = agreement(ratings, [str(number) for number in range(40)], 0.95)
    shared = agreement(ratings, [str(number // 2) for number in range(40)], 0.95)
    assert alone
    assert shared
    assert shared.equal.value == alone.equal.value
    assert shared.equal.high - shared.equal.low > 1.3 * (alone.equal.high - alone.equal.low)


def test_what_questions_have_in_common_is_no_length_bias() -> None:
    # long answers and high ratings belong to the same questions; within a question they are unrelated
    words = [base + extra for base in (4, 64) * 20 for extra in (0, 4)]
    ratings = [float((words[i] > 30) * 3 + (i // 4 % 2 * 2 - 1) * (1 if i % 2 else -1)) for i in range(len(words))]
    items = [str(i // 2) for i in range(len(words))]
    found = length_bias(ratings, words, items, 0.95)
    assert found is not None
    assert abs(found.correlation.value) < 0.1
    assert found.correlation.p > 0.5


def test_the_size_of_a_length_bias_is_per_doubling() -> None:
    words = [2**power - 1 for power in (2, 3, 4, 5)] * 12  # log2(words + 1) is the power
    ratings = [1.5 * power + (0.01 if i % 3 else -0.02) for i, power in enumerate((2, 3, 4, 5) * 12)]
    found = length_bias(ratings, words, [str(i // 4) for i in range(48)], 0.95)
    assert found is not None
    assert found.per_doubling.value == pytest.approx(1.5, abs=0.02)
    assert found.correlation.value > 0.99
    assert length_bias([1.0, 2.0], [5, 5], ["a", "a"], 0.95) is None


def test_two_groupings_are_removed_together() -> None:
    rows, columns = np.divmod(np.arange(12), 3)
    rest = np.array([1, -1, 0, -1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=float)
    made = 5.0 * rows + 2.0 * columns + rest
    assert centred(made, [[str(one) for one in rows], [str(one) for one in columns]]) == pytest.approx(rest)


def test_words_claim_what_the_corrected_p_value_carries() -> None:
    one = estimate_of([[1.0, 2.0, 3.0, 2.5]], ["a", "b", "c", "d"], 0.95)
    assert one is not None
    made = [Finding("x", one, p, "points", "more", "less") for p in (0.03, 0.5, 0.001)]
    found = corrected(made)
    assert [finding.p_corrected for finding in found] == pytest.approx([0.06, 0.5, 0.003])
    assert "not distinguishable" in finding_text(found[0], 0.95)
    assert "x: more (" in finding_text(found[2], 0.95)
