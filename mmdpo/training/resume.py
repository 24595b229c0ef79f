"""Checkpoints: complete ones, and the one to resume from.

A checkpoint is complete once its marker is there, which is written after all its other files. Incomplete
checkpoints, and those of another run, are deleted before training starts.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.files import fingerprint, read_json
from mmdpo.models.fingerprints import processor_fingerprint
from mmdpo.models.loading import torch_dtype
from mmdpo.training.custom_loss import loss_fingerprint
from mmdpo.training.distributed import world_size

if TYPE_CHECKING:
    from mmdpo.training.settings import TrainingSettings

MARKER = "complete.json"
PREFIX = "checkpoint-"  # transformers' name: checkpoint-STEP

NO_EFFECT = (
    *("name", "save_total_limit", "save_steps", "logging_steps"),
    *("precompute_ref_batch_size", "dataloader_num_workers"),
)
"""Fields of TrainConfig that may change between the start and the resumption of a run."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: the number of steps taken, and the fingerprint of its run."""

    path: Path
    step: int
    run: str


def complete(folder: str | Path) -> list[Checkpoint]:
    """List the complete checkpoints in a folder, oldest first."""
    found = []
    for marker in Path(folder).glob(f"{PREFIX}*/{MARKER}"):
        content = read_json(marker)
        found.append(Checkpoint(marker.parent, content["step"], content["run"]))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def last_complete(folder: str | Path) -> Checkpoint | None:
    """Return the newest complete checkpoint in a folder, if any."""
    return next(reversed(complete(folder)), None)


def continue_from(folder: Path, run: str) -> Checkpoint | None:
    """Return the checkpoint to resume a run from, if any; delete those that cannot be used."""
    own = [checkpoint for checkpoint in complete(folder) if checkpoint.run == run]
    usable = {checkpoint.path for checkpoint in own}
    for path in folder.glob(f"{PREFIX}*"):
        if path not in usable:
            discard(path)
    return own[-1] if own else None


def discard(checkpoint: Path) -> None:
    """Delete a checkpoint, its marker first, so that a kill in between leaves an incomplete one."""
    (checkpoint / MARKER).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def run_fingerprint(settings: TrainingSettings, weights: str, data: str) -> str:
    """Hash everything that a checkpoint's numbers depend on.

    Args:
        settings: Settings of the training.
        weights: Fingerprint of the base model's weights.
        data: Fingerprint of the training set.

    Returns:
        The fingerprint; a checkpoint with another one is not resumed from.
    """
    method, model = settings.method, settings.model
    train = {name: value for name, value in asdict(settings.train).items() if name not in NO_EFFECT}
    train["too_long"] = settings.train.too_long.value
    values = [
        *(method.loss_type, settings.averages_logps, loss_fingerprint(method.loss_type)),
        *(settings.beta, settings.lr, settings.seed, str(torch_dtype(model.dtype)), world_size()),
        *(method.label_smoothing, method.fine_grained and method.fine_grained_weight),
        *(processor_fingerprint(model), model.train_projector and model.projector_lr),
    ]
    return fingerprint([weights, data, values, train, asdict(model.lora)])
