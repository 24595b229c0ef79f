"""A disk that fills while a checkpoint is written: what is left, and what to type."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdpo.errors import UserError

FULL = ("No space left on device", "Disk quota exceeded")
ROOM = 1 << 20  # bytes


@contextmanager
def full_disk_advice(folder: Path) -> Iterator[None]:
    """Turn a write under `folder` that found no room into a UserError: the last checkpoint is still whole."""
    from mmdpo.training.resume import last_complete

    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # safetensors has an error of its own, and torch.save's does not say why it failed.
        if not any(text in str(error) for text in FULL) and _room(folder):
            raise
        last = last_complete(folder / "checkpoints")
        raise UserError(
            f"{folder}: the disk is full. Last good checkpoint: {last.path if last else 'none yet'}. Make "
            "room and run the same line again, or type out=FOLDER on another disk."
        ) from error


def _room(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(ROOM))
            probe.flush()
    except OSError:
        return False
    return True
