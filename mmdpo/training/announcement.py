"""The first process's decision to train a point, for the processes that torchrun or srun started with it.

Whether a point has to be trained may change while they look: another point with the same model ends its training. So
the first one decides alone, and announces a training by a file in the point's folder. No process group is needed.
"""

from __future__ import annotations

import os
from pathlib import Path

from mmdpo.files import fingerprint, write_json
from mmdpo.training.distributed import world_size

PREFIX = ".training-"
SHARED = (
    *("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"),
    *("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT"),
)
"""Environment variables that are equal in all processes of one launch."""


def launch_id() -> str:
    """Return a name that the processes of one launch share, and other launches do not have."""
    shared = [os.environ.get(name, "") for name in SHARED]
    one_machine = os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE")
    if "TORCHELASTIC_RUN_ID" in os.environ and one_machine:
        shared.append(str(os.getppid()))  # torchrun's default run id and port are always the same
    return fingerprint(shared, length=12)


def announce_training(folder: Path) -> None:
    """Announce to the other processes that a point is trained now; without others, do nothing."""
    if world_size() > 1:
        withdraw_training(folder)
        write_json(_file(folder), {})


def withdraw_training(folder: Path) -> None:
    """Remove the announcement, and those of earlier launches."""
    for file in folder.glob(f"{PREFIX}*.json"):
        file.unlink(missing_ok=True)


def is_training_announced(folder: Path) -> bool:
    """Return whether the first process of this launch trains a point now."""
    return _file(folder).exists()


def _file(folder: Path) -> Path:
    return folder / f"{PREFIX}{launch_id()}.json"
