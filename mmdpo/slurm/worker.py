"""One process of a task, started by srun: python -m mmdpo.slurm.worker SUBMISSION KIND FIRST INDEX

Exit codes: 0 done, 1 failed (status.json says why), 3 another run is at it, 75 saved and to go on.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mmdpo.errors import UserError
from mmdpo.pipeline import point_stages as stages
from mmdpo.points import status
from mmdpo.signals import Interrupted, listen
from mmdpo.slurm.submission import OF_POINTS, PREPARE, read
from mmdpo.slurm.supervisor import INTERRUPTED
from mmdpo.sweep.run_point import BUSY, BUSY_CODE, run_point
from mmdpo.training.distributed import from_slurm, rank


def main(arguments: list[str]) -> int:
    """Do this process's part of the task."""
    folder, kind, first, index = arguments
    from_slurm()
    listen()
    submission = read(Path(folder))
    part = next(part for part in submission.parts if (part.kind, part.first) == (kind, int(first)))
    try:
        if kind == PREPARE:
            configs = [task.point.config for task in submission.tasks(PREPARE)]
            return make(submission.folder / PREPARE, [partial(stages.prepare, config) for config in configs])
        task = submission.task(part, int(index))
        if task.stage not in OF_POINTS:
            return make(submission.folder_of(task), [partial(stages.run_data_stage, task.point.config, task.stage)])
        error = run_point(task.point, task.stage)
        if error is None:
            return 0
        print(status.read_status(submission.folder_of(task)).traceback or error, file=sys.stderr)
        return BUSY_CODE if error == BUSY else 1
    except Interrupted:
        return INTERRUPTED


def make(home: Path, works: Sequence[Callable[[], object]]) -> int:
    """Make data, one thing after the other; the first process does it. It failed where nothing was made."""
    if rank():
        return 0
    status.start(home)
    errors = []
    try:
        for work in works:
            try:
                work()
            except Exception as error:  # points that need it say so themselves; the others go on
                traceback.print_exc()
                errors.append(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    except Interrupted as interruption:
        status.interrupt(home, interruption.cause)
        raise
    failed = errors if len(errors) == len(works) else []
    status.finish(home, "; ".join(dict.fromkeys(failed)) or None)
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main(sys.argv[1:]))
