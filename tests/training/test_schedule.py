"""Steps and warmup: equal to transformers', continuous up to 1, and refused where nothing would be learned."""

from __future__ import annotations

import math

import pytest

from mmdpo.config.choices import SCHEDULERS
from mmdpo.config.schema import TrainConfig
from mmdpo.errors import UserError
from mmdpo.training.schedule import check_schedule, schedule_warnings, total_steps, warmup_share, warmup_steps


def config(**values: object) -> TrainConfig:
    return TrainConfig("mine", **{"num_train_epochs": 1.0, "gradient_accumulation_steps": 1, **values})  # type: ignore[arg-type]


def rates(train: TrainConfig, steps: int) -> list[float]:
    """The learning rate of each step, as a share of lr, by transformers."""
    import torch
    from transformers import TrainingArguments, get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    warmup = TrainingArguments(warmup_steps=warmup_share(train), use_cpu=True).get_warmup_steps(steps)
    schedule = get_scheduler(train.lr_scheduler_type, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    return [float(schedule.lr_lambdas[0](step)) for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 7, 43, 64, 1000])
def test_a_warmup_of_1_takes_all_steps(steps: int) -> None:
    found = rates(config(warmup_ratio=1.0, lr_scheduler_type="linear"), steps)
    assert found == [step / steps for step in range(steps)]
    assert warmup_steps(config(warmup_ratio=1.0), steps) == steps
    assert warmup_steps(config(warmup_ratio=0.99), steps) == math.ceil(0.99 * steps)
    assert warmup_share(config(warmup_ratio=0.03)) == 0.03  # as before, so that finished points stay valid


@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize("ratio", [0.0, 0.03, 1.0])
@pytest.mark.parametrize("examples", [1, 12, 17, 40])
def test_a_training_is_refused_if_its_learning_rates_are_0(schedule: str, ratio: float, examples: int) -> None:
    train = config(per_device_train_batch_size=16, warmup_ratio=ratio, lr_scheduler_type=schedule)
    try:
        learned = sum(rates(train, total_steps(train, examples))) > 0
    except ZeroDivisionError:
        learned = False
    if learned and not (schedule == "polynomial" and ratio == 1):
        check_schedule(train, examples)
        return
    with pytest.raises(UserError, match=r"^train\.warmup_ratio="):
        check_schedule(train, examples)


def test_the_refusal_names_what_gives_more_steps() -> None:
    train = config(per_device_train_batch_size=16, gradient_accumulation_steps=2)
    with pytest.raises(UserError) as caught:
        check_schedule(train, 12)
    for override in ("train.num_train_epochs=10", "train.per_device_train_batch_size=", "train.warmup_ratio=0"):
        assert override in str(caught.value)
    assert "12 examples in batches of 32 and 1 epochs are 1 optimizer steps" in str(caught.value)
    check_schedule(train, 12 * 16, processes=4)
    with pytest.raises(UserError):
        check_schedule(train, 4 * 32, processes=4)


def test_few_steps_get_a_warning() -> None:
    train = config(per_device_train_batch_size=4)
    assert schedule_warnings(train, 20) == []
    (few,) = schedule_warnings(train, 16)
    assert "train.num_train_epochs=10" in few
    (unlogged,) = schedule_warnings(config(per_device_train_batch_size=1, logging_steps=50), 49)
    assert unlogged.startswith("train.logging_steps=50: ")
