"""Rungs: a training stops at a share of its optimizer steps, and continues later as if it had not stopped.

The schedule is always that of the whole training. At a rung a checkpoint is saved, and its adapter is copied to the
folder of the rung, where it can be measured.
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mmdpo.config.schema import TrainConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.files import atomic_write
from mmdpo.models.adapter_files import check_adapter_weights
from mmdpo.models.fingerprints import ADAPTER_FILES
from mmdpo.training.resume import Checkpoint
from mmdpo.training.schedule import total_steps, warmup_steps


@dataclass(frozen=True)
class Rung:
    """A place in a training at which it stops.

    Attributes:
        share: The share of the optimizer steps, between 0 and 1.
        adapter: The folder to copy the adapter to.
        setting: The setting that chooses the rungs.
        without: The override that trains without rungs.
    """

    share: float
    adapter: Path
    setting: str = "search.rungs"
    without: str = "search=none"


def rung_step(train: TrainConfig, share: float, examples: int, processes: int = 1) -> int:
    """Return the optimizer step of a rung.

    It is a step that is logged: a checkpoint between two logs would lose the sums that the later log averages.

    Args:
        train: The settings of the optimization.
        share: The share of the steps.
        examples: The number of training examples.
        processes: The number of processes that train together.

    Returns:
        The step; that of the end of the training, or a later one, if the training is too short for a rung before it.
    """
    step = math.ceil(round(share * total_steps(train, examples, processes), 6))  # 0.1 * 30 is a little more than 3
    return -(-step // train.logging_steps) * train.logging_steps


def step_to_stop_at(train: TrainConfig, rung: Rung, examples: int, processes: int = 1) -> int:
    """Return the optimizer step of a rung that a training can be measured at.

    Args:
        train: The settings of the optimization.
        rung: The rung.
        examples: The number of training examples.
        processes: The number of processes that train together.

    Raises:
        UserError: The step is not before the end of the training, or nothing is learned up to it.
    """
    step, steps = rung_step(train, rung.share, examples, processes), total_steps(train, examples, processes)
    place = f"{rung.setting}: the rung {rung.share:g} is step {step} of a training of {steps} steps"
    if step >= steps:
        raise UserError(f"{place}; type {rung.without}, train.logging_steps=1 or smaller {rung.setting}")
    warmup = warmup_steps(train, steps)
    if step == 1 and warmup:
        raise UserError(
            f"{place}, and the first step of a warmup has the learning rate 0; type larger {rung.setting}, "
            f"train.warmup_ratio=0 or {rung.without}"
        )
    if step <= warmup:
        print_line(f"{place}, and the warmup takes {warmup}: scores there say little; larger {rung.setting} say more")
    return step


def keep_rung(checkpoint: Checkpoint | None, step: int, rung: Rung) -> None:
    """Copy the adapter of a rung's checkpoint to the rung's folder.

    Args:
        checkpoint: The last checkpoint of the training.
        step: The step of the rung.
        rung: The rung.

    Raises:
        UserError: The training is beyond the rung, or has learned nothing up to it.
    """
    if checkpoint is None or checkpoint.step != step:
        raise UserError(
            f"{rung.adapter.parents[2]}: was trained beyond the rung {rung.share:g} without being measured there; type "
            f"{rung.without} to train it to the end"
        )
    try:
        check_adapter_weights(checkpoint.path)
    except UserError as error:
        raise UserError(
            f"{rung.setting}: the adapter at the rung {rung.share:g} (step {step}) cannot be measured: {error}. If "
            f"nothing was learned so far, type larger {rung.setting}, or {rung.without}"
        ) from error
    copy_adapter(checkpoint, rung.adapter)


def copy_adapter(checkpoint: Checkpoint, adapter: Path) -> None:
    """Write the adapter of a checkpoint to a folder, complete or not at all."""
    with atomic_write(adapter) as aside:
        aside.mkdir(parents=True)
        for name in ADAPTER_FILES:
            try:
                os.link(checkpoint.path / name, aside / name)
            except OSError:  # another disk, or a file system without links
                shutil.copy2(checkpoint.path / name, aside / name)
