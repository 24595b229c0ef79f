"""Imports of the libraries that train and run models."""

from __future__ import annotations

import gc
import importlib
import sys

from mmdpo.models.library_output import suppress_library_output


def import_libraries(module: str) -> None:
    """Import a module of ours with its libraries, without garbage collection meanwhile.

    Collecting while some hundred thousand objects are made takes a second of CPU and frees nothing.
    """
    if module in sys.modules:
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        with suppress_library_output():
            importlib.import_module(module)
    finally:
        if enabled:
            gc.enable()
