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
from mmdpo.files import atomic_write
from mmdpo.models.fingerprints import ADAPTER_FILES
from mmdpo.training.resume import Checkpoint
from mmdpo.training.schedule import total_steps


@dataclass(frozen=True)
class Rung:
    """A place in a training at which it stops.

    Attributes:
        share: The share of the optimizer steps, between 0 and 1.
        adapter: The folder to copy the adapter to.
    """

    share: float
    adapter: Path


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


def copy_adapter(checkpoint: Checkpoint, adapter: Path) -> None:
    """Write the adapter of a checkpoint to a folder, complete or not at all."""
    with atomic_write(adapter) as aside:
        aside.mkdir(parents=True)
        for name in ADAPTER_FILES:
            try:
                os.link(checkpoint.path / name, aside / name)
            except OSError:  # another disk, or a file system without links
                shutil.copy2(checkpoint.path / name, aside / name)
