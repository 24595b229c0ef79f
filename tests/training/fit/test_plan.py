"""Plans with the same steps: which micro-batches, and how their losses are weighted; trainings that are not fitted."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.schema import TrainConfig
from mmdpo.entry.compose import compose_config
from mmdpo.training.fit.fitting import chosen
from mmdpo.training.fit.plan import BATCH, Plan, Steps, kept_settings, smaller
from mmdpo.training.fit.weights import UpdateWeights
from tests.support.tiny import tiny_settings


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (Steps(32, 4, 2), [1, 2, 4, 8]),
        (Steps(29, 4, 2), [1, 2, 4]),  # the last step has 4 and 1 rows, and 1 of 5 weighs half
        (Steps(29, 4, 2, by_token=True), [1, 2, 4, 8]),
        (Steps(32, 4, 2, processes=2), [1, 2, 4, 8]),
        (Steps(29, 4, 2, processes=2), [2, 4, 8]),  # all fill up 32, and 1 fills up 30
        (Steps(25, 4, 2, processes=2), [4, 8]),  # 26, 28, 32 and 32
    ],
)
def test_micro_batches_that_keep_the_steps(steps: Steps, expected: list[int]) -> None:
    assert steps.micro_batches() == expected


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [([], False), (["method=kto"], True), (["train.prefix_sharing=false", "train.trl.neftune_noise_alpha=5"], True)],
)
def test_micro_batches_are_kept_where_numbers_depend_on_them(overrides: list[str], kept: bool) -> None:
    config = compose_config(overrides)
    assert kept_settings(config.method, config.train) == [*config.train.fit_keeps, *(BATCH if kept else ())]


def test_memory_that_runs_out_halves_micro_batches_then_recomputes() -> None:
    plan: Plan | None = Plan(12, 2, False, 0)
    steps, found = Steps(96, 12, 2), []
    while plan and (plan := smaller(plan, steps)):
        found.append(
            (plan.per_device_train_batch_size, plan.gradient_accumulation_steps, plan.activation_checkpointing)
        )
    assert found == [(6, 4, False), (3, 8, False), (1, 24, False), (1, 24, True)]
    typed = Plan.of(TrainConfig(per_device_train_batch_size=12, gradient_accumulation_steps=2))
    typed = replace(typed, activation_checkpointing=False)
    assert smaller(typed, steps, ["per_device_train_batch_size"]) == Plan(12, 2, True, 0)
    assert smaller(typed, steps, ["gradient_accumulation_steps", "activation_checkpointing"]) is None


@pytest.mark.parametrize(("rows", "micro_batch", "accumulation", "own"), [(29, 4, 2, 1), (29, 4, 2, 2), (7, 6, 4, 3)])
def test_weighted_micro_batches_give_each_row_its_weight(
    rows: int, micro_batch: int, accumulation: int, own: int
) -> None:
    weights = UpdateWeights(Steps(rows, micro_batch, accumulation), own)
    per_step = micro_batch * accumulation
    for step in range(2 * ceil(rows / per_step)):  # two epochs
        first = step % ceil(rows / per_step) * per_step
        numbers = [*range(first, min(rows, first + per_step))]
        groups = [numbers[start : start + micro_batch] for start in range(0, len(numbers), micro_batch)]
        expected = {row: 1 / len(groups) / len(group) for group in groups for row in group}
        parts = [numbers[start : start + own] for start in range(0, len(numbers), own)]
        found = {row: weights.next(step, len(part)) / len(parts) / len(part) for part in parts for row in [part[0]]}
        assert found == pytest.approx({row: expected[row] for row in found})


def test_4_bit_weights_keep_the_configured_plan_and_say_what_to_type() -> None:
    settings = tiny_settings(Path("model"), model__quantization="nf4", train__memory_gib=1.0)
    collator: Any = None
    fit = chosen(settings, Steps(12, 4, 2), [], collator, 1 << 30)
    assert fit.plan == Plan.of(settings.train)
    for override in ("model.quantization=nf4", "train.per_device_train_batch_size=", "train.activation_checkpointing="):
        assert override in fit.reason
