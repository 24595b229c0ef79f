"""Token weights, by hand and in a training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.models.loading import load_processor
from mmdpo.training.fine_grained import token_weights
from mmdpo.training.reference import add_reference, reference
from mmdpo.training.rows import tokenize_examples
from mmdpo.training.run import train_adapter
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_settings

THREE = [1, 2, 3, 4], [1, 2, 9, 8, 4]  # 3 became 9 8


def test_changed_spans_weigh_more() -> None:
    assert token_weights(*THREE, weight=5, average=False) == ([1, 1, 5, 1], [1, 1, 5, 5, 1])


def test_averaged_weights_sum_to_the_number_of_tokens() -> None:
    """RLHF-V's sum(w log p) / sum(w) is then the mean of w log p."""
    chosen, rejected = token_weights(*THREE, weight=5, average=True)
    assert chosen == pytest.approx([0.5, 0.5, 2.5, 0.5])  # 4 / (1 + 1 + 5 + 1)
    assert sum(rejected) == pytest.approx(5)


def test_an_insertion_changes_nothing_in_the_other() -> None:
    assert token_weights([1, 2], [1, 7, 2], 3, average=False) == ([1, 1], [1, 3, 1])


ids = st.lists(st.integers(0, 4), min_size=1, max_size=30)


@given(ids, ids, st.booleans())
def test_a_weight_of_one_is_plain_dpo(chosen: list[int], rejected: list[int], average: bool) -> None:
    assert token_weights(chosen, rejected, 1.0, average) == ([1.0] * len(chosen), [1.0] * len(rejected))


@given(ids)
def test_equal_answers_have_no_changed_token(chosen: list[int]) -> None:
    assert token_weights(chosen, chosen, 5.0, average=False)[0] == [1.0] * len(chosen)


def logged(tiny: Tiny, folder: Path, **overrides: object) -> list[dict[str, float]]:
    steps: list[dict[str, float]] = []
    settings = tiny_settings(tiny.model, **overrides)
    train_adapter(
        settings, tiny.pairs, tiny.images, folder, lambda metrics, step: steps.append(metrics), lambda step: None
    )
    return [{name: step[name] for name in step.keys() - {*OF_THE_MACHINE}} for step in steps]


@pytest.mark.parametrize("average", [False, True])
def test_training_with_a_weight_of_one_is_plain_dpo(tiny: Tiny, tmp_path: Path, average: bool) -> None:
    plain = logged(tiny, tmp_path / "plain", logprob_avg=average)
    one = logged(
        tiny,
        tmp_path / "one",
        logprob_avg=average,
        method__fine_grained=True,
        method__fine_grained_weight=1.0,
    )
    for step, other in zip(one, plain, strict=True):
        assert step == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("average", [False, True])
def test_training_with_weights(tiny: Tiny, tmp_path: Path, average: bool) -> None:
    """The first step's margin is zero: the reference is weighted as the policy is."""
    settings = {"logprob_avg": average, "method__fine_grained": True, "method__fine_grained_weight": 5.0}
    steps = logged(tiny, tmp_path / "weighted", **settings)
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert steps[-1]["loss"] != pytest.approx(logged(tiny, tmp_path / "plain", logprob_avg=average)[-1]["loss"])


def test_the_weighted_reference_by_hand(tiny: Tiny) -> None:
    settings = tiny_settings(tiny.model, method__fine_grained=True, method__fine_grained_weight=2.0)
    reference_logps = reference(settings.model, settings.train, tiny.pairs, tiny.images)
    made = tokenize_examples(tiny.pairs, tiny.images, load_processor(settings.model), settings.train)
    add_reference(made, reference_logps, settings)
    for pair, row in zip(tiny.pairs, made.rows, strict=True):
        chosen = reference_logps.of(pair)[0].tokens
        expected = (chosen * torch.tensor(row["weights"][0])).sum()
        assert row["ref_chosen_logps"] == pytest.approx(float(expected), abs=1e-5)
        assert set(row["weights"][0]) <= {1.0, 2.0}
