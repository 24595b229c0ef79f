"""Differences of log-probs that are tolerated."""

from __future__ import annotations

import pytest
import torch

from mmdpo.models.prefix import difference


@pytest.mark.parametrize(
    ("gap", "rounding", "same"),
    [
        (0.04, 0.0, True),
        (0.06, 0.0, False),
        (0.13, 0.14, True),  # 32 layers of 4096 with logits up to 17, in bfloat16 on an H100: beside plain batches,
        (0.72, 0.13, False),  # and the same with a mask that lets questions see each other
        (0.60, 1.0, False),  # batches so far from single prompts prove nothing
    ],
)
def test_twice_the_rounding_of_plain_batches_is_tolerated(gap: float, rounding: float, same: bool) -> None:
    expected = torch.zeros(2, 2, 5)
    found = expected + gap
    assert (difference(expected, found, expected.numel(), torch.bfloat16, rounding) is None) is same
