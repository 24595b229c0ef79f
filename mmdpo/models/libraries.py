"""Imports of the libraries that train and run models, timed by themselves: a process pays for them once."""

from __future__ import annotations

import gc
import importlib
import sys

from mmdpo.models.library_output import suppress_library_output
from mmdpo.provenance import set_threads
from mmdpo.timings import LIBRARIES, timed


def prepare_libraries(threads: int | None) -> None:
    """Import what runs models, and set torch's number of CPU threads; None keeps torch's choice."""
    import_libraries("mmdpo.models.engine")
    set_threads(threads)


def import_libraries(module: str, kind: str = LIBRARIES) -> None:
    """Import a module of ours with its libraries, and exclude them from garbage collection.

    They are some hundred thousand objects that live to the end. Visiting them while they are made, and in each later
    collection, those at the interpreter's exit included, takes a second of CPU and frees nothing.

    Args:
        module: The module.
        kind: The kind of work, for its time.
    """
    if module in sys.modules:
        return
    enabled = gc.isenabled()
    gc.disable()
    gc.collect()  # what is dead now, such as an earlier trainer, would be kept alive by the exclusion
    try:
        with timed(kind, processes=1), suppress_library_output():
            importlib.import_module(module)
        gc.freeze()
    finally:
        if enabled:
            gc.enable()
