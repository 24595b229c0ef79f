"""Optimizer steps of a training, their learning rates, and trainings that would learn nothing.

This module is light: a sweep is planned with it.
"""

from __future__ import annotations

import math

from mmdpo.config.choices import FEW_STEPS
from mmdpo.config.schema import TrainConfig
from mmdpo.errors import UserError


def total_steps(train: TrainConfig, examples: int, processes: int = 1) -> int:
    """Count the optimizer steps of a training as transformers does, over all processes together.

    Args:
        train: Batch size, accumulation and epochs.
        examples: Number of training examples.
        processes: Number of processes that train together.

    Returns:
        The number of steps.
    """
    batches = math.ceil(math.ceil(examples / processes) / train.per_device_train_batch_size)
    return math.ceil(math.ceil(batches / train.gradient_accumulation_steps) * train.num_train_epochs)


def warmup_share(train: TrainConfig) -> float:
    """Return `train.warmup_ratio` as transformers' `warmup_steps`, where 1 would mean one step instead of all."""
    return min(train.warmup_ratio, math.nextafter(1.0, 0.0))


def warmup_steps(train: TrainConfig, steps: int) -> int:
    """Count the steps of the warmup; the first of them has the learning rate 0."""
    return 0 if train.lr_scheduler_type == "constant" else math.ceil(steps * warmup_share(train))


def check_schedule(train: TrainConfig, examples: int, processes: int = 1) -> None:
    """Raise UserError for a training that would learn nothing, or whose schedule cannot be computed.

    Args:
        train: The settings of the optimization.
        examples: Number of training examples.
        processes: Number of processes that train together.
    """
    steps = total_steps(train, examples, processes)
    warmup = warmup_steps(train, steps)
    if steps == warmup == 1:
        raise UserError(
            f"train.warmup_ratio={train.warmup_ratio}: nothing would be learned. "
            f"{_steps_text(train, examples, processes)}; the first step of a warmup has the learning rate 0. "
            f"Type {_more_steps(train)} or train.warmup_ratio=0"
        )
    if train.lr_scheduler_type == "polynomial" and warmup >= steps:
        raise UserError(
            f"train.warmup_ratio={train.warmup_ratio}: train.lr_scheduler_type=polynomial needs steps after the "
            f"warmup, which takes {warmup} of {steps}; type a smaller train.warmup_ratio="
        )


def schedule_warnings(train: TrainConfig, examples: int, processes: int = 1) -> list[str]:
    """Return warnings for a training of less than `FEW_STEPS` steps, or of none that is logged, with what to type.

    Args:
        train: The settings of the optimization.
        examples: Number of training examples.
        processes: Number of processes that train together.
    """
    steps = total_steps(train, examples, processes)
    found = []
    if steps < FEW_STEPS:
        found.append(
            f"only a few steps: {_steps_text(train, examples, processes)}; for more, type {_more_steps(train)}"
        )
    if steps < train.logging_steps:
        found.append(
            f"train.logging_steps={train.logging_steps}: none of the {steps} steps is logged; type a smaller number"
        )
    return found


def _steps_text(train: TrainConfig, examples: int, processes: int) -> str:
    batch = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes
    steps = total_steps(train, examples, processes)
    return (
        f"{examples} examples in batches of {batch} and {train.num_train_epochs:g} epochs are {steps} optimizer steps"
    )


def _more_steps(train: TrainConfig) -> str:
    wanted = math.ceil(train.num_train_epochs) * 10
    smaller = {
        "train.gradient_accumulation_steps": train.gradient_accumulation_steps,
        "train.per_device_train_batch_size": train.per_device_train_batch_size,
    }
    return " or ".join(
        [f"train.num_train_epochs={wanted}", *(f"a smaller {key}=" for key, n in smaller.items() if n > 1)]
    )
