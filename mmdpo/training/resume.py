"""Checkpoints: complete ones, and the one to resume from.

A checkpoint is complete once its marker is there, which is written after all its other files and names their sizes
and digests. Incomplete and damaged checkpoints, and those of another run, are deleted before training starts.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.console import print_line
from mmdpo.files import file_fingerprint, fingerprint, is_whole_safetensors, read_json, write_json
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
    *("fit", "memory_gib", "fit_keeps"),
)
"""Fields of TrainConfig that may change between the start and the resumption of a run."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint.

    Attributes:
        path: The folder.
        step: The number of steps taken.
        run: The fingerprint of its run.
        files: Size and SHA-256 of each file; empty for a checkpoint of an earlier version.
    """

    path: Path
    step: int
    run: str
    files: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def damaged_file(self) -> str | None:
        """Return the name of a file that is not as it was written; None if all are."""
        if not self.files:
            return next((file.name for file in self.path.rglob("*") if _is_torn(file)), None)
        for name, (size, digest) in self.files.items():
            file = self.path / name
            try:
                if file.stat().st_size != size or file_fingerprint(file, 64) != digest:
                    return name
            except OSError:
                return name
        return None


def _is_torn(file: Path) -> bool:
    """Return whether a file ends too early, by its own format."""
    match file.suffix:
        case ".safetensors":
            return not is_whole_safetensors(file)
        case ".pt" | ".pth":
            return not zipfile.is_zipfile(file)
        case _:
            return False


def mark_complete(path: Path, step: int, run: str) -> None:
    """Mark a checkpoint as complete, all of whose files have been written."""
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    files = {name: [(path / name).stat().st_size, file_fingerprint(path / name, 64)] for name in names}
    files.pop(MARKER, None)
    write_json(path / MARKER, {"step": step, "run": run, "files": files})


def complete(folder: str | Path) -> list[Checkpoint]:
    """List the complete checkpoints in a folder, oldest first, by their markers."""
    found = (_read_marker(marker) for marker in Path(folder).glob(f"{PREFIX}*/{MARKER}"))
    return sorted((one for one in found if one is not None), key=lambda checkpoint: checkpoint.step)


def _read_marker(marker: Path) -> Checkpoint | None:
    """Read the marker of a checkpoint; None if it is damaged."""
    try:
        content = read_json(marker)
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in content.get("files", {}).items()}
        return Checkpoint(marker.parent, int(content["step"]), str(content["run"]), files)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def last_complete(folder: str | Path) -> Checkpoint | None:
    """Return the newest complete checkpoint in a folder, if any."""
    return next(reversed(complete(folder)), None)


def continue_from(folder: Path, run: str) -> Checkpoint | None:
    """Return the newest whole checkpoint to resume a run from, if any; delete those that cannot be used."""
    own = [checkpoint for checkpoint in complete(folder) if checkpoint.run == run]
    while own and (name := own[-1].damaged_file()):
        before = f"continuing from {own[-2].path.name}" if len(own) > 1 else "starting from the beginning"
        print_line(f"{own.pop().path}: {name} is damaged; {before}")
    usable = {checkpoint.path for checkpoint in own}
    for path in folder.glob(f"{PREFIX}*"):
        if path not in usable:
            discard(path)
    return own[-1] if own else None


def last_of_run(folder: Path, run: str) -> Checkpoint | None:
    """Return the newest checkpoint of a run, after another process has deleted those that cannot be used."""
    return next((one for one in reversed(complete(folder)) if one.run == run), None)


def discard(checkpoint: Path) -> None:
    """Delete a checkpoint, its marker first, so that a kill in between leaves an incomplete one."""
    if checkpoint.is_symlink() or not checkpoint.is_dir():
        checkpoint.unlink(missing_ok=True)
        return
    with suppress(IsADirectoryError):
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
