"""The choice among plans: the fastest that fits, kept settings, and the least memory if nothing fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmdpo.training.fit.choose import choose
from mmdpo.training.fit.memory import Peak
from mmdpo.training.fit.plan import Plan, Steps

STEPS = Steps(32, 4, 2)  # micro-batches of 1, 2, 4 or 8 rows
CONFIGURED = Plan(4, 2, True, 0)


class Predictor:
    """Predictions of 10 bytes, and 99 for each row; 33 where activations are recomputed."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.own, self.traced = seconds, list[int]()

    def peak(self, plan: Plan) -> Peak:
        self.traced.append(plan.per_device_train_batch_size)
        return self.estimate(plan, ())

    def estimate(self, plan: Plan, measured: Sequence[int]) -> Peak:
        activations = 99 * plan.per_device_train_batch_size
        return Peak(10, 0, activations // 3 if plan.activation_checkpointing else activations)

    def seconds(self, plan: Plan, measured: int) -> float:
        return self.own[plan.per_device_train_batch_size]


EQUAL, PADDED = dict.fromkeys((1, 2, 4, 8), 1.0), {1: 1.0, 2: 1.2, 4: 1.4, 8: 1.6}


@pytest.mark.parametrize(
    ("seconds", "limit", "fixed", "expected"),
    [
        (EQUAL, 1000, (), Plan(4, 2, False, 0)),  # of equally fast ones, the configured
        (EQUAL, 250, (), Plan(2, 4, False, 0)),  # the nearest that fits
        (EQUAL, 100, (), Plan(2, 4, True, 0)),
        (PADDED, 1000, (), Plan(1, 8, False, 0)),
        ({1: 1.4, 2: 1.2, 4: 1.1, 8: 1.0}, 1000, (), Plan(8, 1, False, 0)),
        (EQUAL, 1000, ("activation_checkpointing",), CONFIGURED),
        (PADDED, 1000, ("gradient_accumulation_steps",), Plan(4, 2, False, 0)),
        (EQUAL, 20, (), Plan(1, 8, True, 0)),  # nothing fits
    ],
)
def test_the_fastest_plan_that_fits(
    seconds: dict[int, float], limit: int, fixed: tuple[str, ...], expected: Plan
) -> None:
    predictor: Any = Predictor(seconds)
    choice = choose(CONFIGURED, STEPS, fixed, predictor, limit, deepspeed=False)
    assert choice.plan == expected
    assert choice.fits == (limit > 20)


def test_plans_far_beyond_the_limit_are_not_predicted() -> None:
    predictor: Any = Predictor({1: 1.4, 2: 1.2, 4: 1.1, 8: 1.0})
    assert choose(CONFIGURED, STEPS, (), predictor, 250, deepspeed=False).plan.per_device_train_batch_size == 2
    assert set(predictor.traced) == {1, 2}
