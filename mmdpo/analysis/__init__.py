"""Tables, figures, statistics and reports from the files of a study; nothing is computed that a run should compute.

Everything here reads what a sweep wrote to `outputs/<study>/`, also while it runs, and imports neither
torch nor transformers. Plotting and statistics libraries are imported where they are used, so that
`python -m mmdpo status` starts at once.

`load_study` gives notebooks and scripts the results as pandas data frames.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdpo.analysis.load import load_study as load_study


def __getattr__(name: str) -> Any:
    if name == "load_study":
        return importlib.import_module("mmdpo.analysis.load").load_study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
