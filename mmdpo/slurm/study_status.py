"""A study's table of results, completed by the states of its jobs on SLURM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdpo.analysis.study import Row, Study, read_study, study_of
from mmdpo.config.schema import AXES
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.points.status import State
from mmdpo.slurm.submission import JOBS, is_point_stage
from mmdpo.slurm.task_states import TaskState, read_task_states


def read(folder: Path) -> Study:
    """Read a study from its files, and the points with jobs also from SLURM.

    A damaged file of a submission is reported; the points are then shown by their own files.

    Raises UserError for a folder with neither points nor jobs.
    """
    try:
        states = read_task_states(folder) if (folder / JOBS).is_dir() else {}
    except UserError as error:
        print_line(str(error))
        states = {}
    states = {
        name: one
        for name, one in states.items()
        if is_point_stage(one.task.stage) and not (one.task.shard and one.state is State.done)
    }
    if not states:
        return read_study(folder)
    rows = read_study(folder, may_be_empty=True).rows
    for row in rows:
        if row.point in states:
            _update(row, states.pop(row.point))
    return study_of(folder, [*rows, *map(_row, states.values())])


def _update(row: Row, one: TaskState) -> None:
    if one.state in (State.done, State.answered, State.pruned):  # its stage, which the files tell too
        return
    if row.state == State.unreadable and one.state is State.failed:
        return  # its files say more than its job
    row.state = one.state
    row.error = one.detail or row.error if one.state in (State.failed, State.cancelled) else None
    row.job = one.detail if one.live else ""
    row.attempts = one.status.attempts


def _row(one: TaskState) -> Row:
    """Return the row of a point whose job has not written any file yet."""
    config: dict[str, Any] = one.task.config
    axes = {"method": config["method"]["name"], **{axis: config.get(axis) for axis in AXES}}
    row = Row(one.task.name, one.folder, role=one.task.role or "", config=config, axes=axes)
    _update(row, one)
    return row
