"""Error message for a disk that fills up during training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdpo.errors import UserError
from mmdpo.storage import FULL

DISK_FULL_MESSAGES = ("No space left on device", "Disk quota exceeded")
PROBE_BYTES = 1 << 20


@contextmanager
def full_disk_advice(folder: Path) -> Iterator[None]:
    """Turn a write under `folder` that fails for lack of space into a UserError that names the last checkpoint."""
    from mmdpo.training.resume import last_complete

    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # safetensors has its own error, and that of torch.save does not give the cause.
        if not any(text in str(error) for text in DISK_FULL_MESSAGES) and _has_space(folder):
            raise
        last = last_complete(folder / "checkpoints")
        raise UserError(
            f"{folder}: the disk is full. Last complete checkpoint: {last.path if last else 'none yet'}. Free "
            "space and rerun the same command, or type out=FOLDER on another disk."
        ) from error


def _has_space(folder: Path) -> bool:
    """Return False only if the disk takes no more; a folder that is absent or read-only tells nothing about it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
    except OSError as error:
        return error.errno not in FULL
    return True
