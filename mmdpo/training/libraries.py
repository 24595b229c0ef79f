"""Import of the libraries that train models."""

from __future__ import annotations

from mmdpo.models.libraries import import_libraries
from mmdpo.timings import TRAINING_LIBRARIES


def import_training_libraries() -> None:
    """Import TRL, PEFT and the trainers; a process does so once."""
    import_libraries("mmdpo.training.trainer", TRAINING_LIBRARIES)
