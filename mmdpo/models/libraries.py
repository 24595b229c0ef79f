"""Import of the libraries that run models, timed by itself: a process pays for it once, whatever it does first."""

from __future__ import annotations

import functools

from mmdpo.models.library_output import suppress_library_output
from mmdpo.provenance import set_threads
from mmdpo.timings import LIBRARIES, timed


def import_libraries(threads: int | None) -> None:
    """Import torch and transformers, and set torch's number of CPU threads; None keeps torch's choice."""
    _import()
    set_threads(threads)


@functools.cache
def _import() -> None:
    with timed(LIBRARIES, processes=1), suppress_library_output():
        from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: F401 (lazy modules until now)
