"""A study's table with what SLURM says of its points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdpo.analysis.study import Row, Study, read_study, study_of
from mmdpo.config.schema import AXES
from mmdpo.slurm.submission import JOBS, OF_POINTS
from mmdpo.slurm.task_states import Seen, look


def read(folder: Path) -> Study:
    """The study as its files tell it; points with jobs also as SLURM does.

    Raises UserError where there is neither.
    """
    seen = look(folder) if (folder / JOBS).is_dir() else {}
    seen = {name: one for name, one in seen.items() if one.task.stage in OF_POINTS}
    if not seen:
        return read_study(folder)
    rows = read_study(folder, may_be_empty=True).rows
    for row in rows:
        if row.point in seen:
            _tell(row, seen.pop(row.point))
    return study_of(folder, [*rows, *map(_row, seen.values())])


def _tell(row: Row, one: Seen) -> None:
    if row.state == "done" and one.state == "done":
        return
    row.state = one.state if one.state != "absent" else "planned"
    row.error = one.detail or row.error if one.state in ("failed", "cancelled") else None
    row.job = one.detail if one.live else ""
    row.attempts = one.status.attempts


def _row(one: Seen) -> Row:
    """A point whose job has written nothing yet."""
    config: dict[str, Any] = one.task.config
    axes = {"method": config["method"]["name"], **{axis: config[axis] for axis in AXES}}
    row = Row(one.task.name, one.folder, role=one.task.role or "", config=config, axes=axes)
    _tell(row, one)
    return row
