"""Import of the libraries that train models, timed by itself: a process pays for it once, whatever it trains first."""

from __future__ import annotations

import functools

from mmdpo.models.library_output import suppress_library_output
from mmdpo.timings import TRAINING_LIBRARIES, timed


@functools.cache
def import_training_libraries() -> None:
    """Import TRL, PEFT and the trainers."""
    with timed(TRAINING_LIBRARIES, processes=1), suppress_library_output():
        import mmdpo.training.trainer  # noqa: F401
