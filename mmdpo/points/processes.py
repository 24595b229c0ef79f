"""Number of processes that trained a point together: each optimizer step takes that many times the configured rows.

With SLURM the settings give the number, and it is part of the identity. Processes that torchrun starts are in no
setting, so the summary of a training holds the number, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdpo.points.records import read_record
from mmdpo.points.results import read_training

SETTING = "cluster.processes"


def is_trained_alike(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Return whether a training had as many processes as this command would train a point with.

    Args:
        summary: The summary of a finished training; those of earlier versions name no number, and count as alike.
        settings: The settings of the point's identity.
    """
    asked = max(int(os.environ.get("WORLD_SIZE", 1)), settings.get(SETTING, 1))
    return bool(summary.get("processes", asked) == asked)


def unnamed_processes(folder: Path) -> int | None:
    """Return the number of processes that trained a point together if its settings name another; else None."""
    summary, record = read_training(folder), read_record(folder)
    if summary is None or record is None:
        return None
    found = summary.get("processes")
    return found if isinstance(found, int) and found != record.settings.get(SETTING, 1) else None
