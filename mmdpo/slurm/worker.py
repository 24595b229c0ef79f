"""One process of a task, started by srun.

    python -m mmdpo.slurm.worker SUBMISSION KIND FIRST INDEX

Exit codes: 0 done, 1 failed (status.json has the reason), 3 another run holds the point, 75 saved and to be
continued.
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
from mmdpo.slurm.inputs import changed_since_submission
from mmdpo.slurm.submission import PREPARE, SlurmTask, Submission, is_point_stage, read_submission
from mmdpo.slurm.supervisor import EXIT_INTERRUPTED
from mmdpo.slurm.task_states import is_finished
from mmdpo.sweep.run_point import BUSY, BUSY_CODE, run_point
from mmdpo.training.distributed import from_slurm, rank


def main(arguments: list[str]) -> int:
    """Run this process's share of the task and return its exit code."""
    folder, kind, first, index = arguments
    from_slurm()
    listen()
    submission = read_submission(Path(folder))
    part = next(part for part in submission.parts if (part.kind, part.first) == (kind, int(first)))
    try:
        if kind == PREPARE:
            tasks = list(submission.tasks(PREPARE))
            works = [partial(stages.make_shared_data, task.point.config) for task in tasks]
            return _make_unchanged(submission, tasks, submission.folder / PREPARE, works)
        task = submission.task(part, int(index))
        if not is_point_stage(task.stage):
            work = partial(stages.run_data_stage, task.point.config, task.stage)
            return _make_unchanged(submission, [task], submission.folder_of(task), [work])
        return run_point_task(submission, task)
    except Interrupted:
        return EXIT_INTERRUPTED


def run_point_task(submission: Submission, task: SlurmTask) -> int:
    """Run a stage of a point and return the exit code."""
    folder = submission.folder_of(task)
    if not is_finished(task, folder) and rank() == 0 and (reason := change_reason(submission, [task])):
        return _fail(folder, reason)
    error = run_point(task.point, task.stage)
    if error is None:
        return 0
    print(status.read_status(folder).traceback or error, file=sys.stderr)
    return BUSY_CODE if error == BUSY else 1


def change_reason(submission: Submission, tasks: Sequence[SlurmTask]) -> str:
    """Return which data or model files have changed since the submission; empty if none has.

    A job may start long after it was submitted, and its points are named by the content of their files.
    """
    changed = changed_since_submission(submission.inputs, [task.point.config for task in tasks])
    if not changed:
        return ""
    return (
        f"the files of {', '.join(changed)} have changed since the job was submitted ({submission.created}). Restore "
        "them, or rerun the launch command with study=NEW_NAME or resume=force"
    )


def _make_unchanged(
    submission: Submission, tasks: Sequence[SlurmTask], folder: Path, works: Sequence[Callable[[], object]]
) -> int:
    if rank():
        return 0
    if reason := change_reason(submission, tasks):
        return _fail(folder, reason)
    return make_data(folder, works)


def make_data(folder: Path, works: Sequence[Callable[[], object]]) -> int:
    """Make data in the first process of the task, one after another.

    Args:
        folder: The folder of the task's status.
        works: Functions that make the data.

    Returns:
        The exit code: 1 if all of them failed. The points that need the data of a failed one report it themselves.

    Raises:
        Interrupted: SLURM asked this process to stop.
    """
    status.start(folder)
    errors = []
    try:
        for work in works:
            try:
                work()
            except Exception as error:  # the other data are still made
                traceback.print_exc()
                errors.append(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    except Interrupted as interruption:
        status.interrupt(folder, interruption.cause)
        raise
    failed = errors if len(errors) == len(works) else []
    status.finish(folder, "; ".join(dict.fromkeys(failed)) or None)
    return 1 if failed else 0


def _fail(folder: Path, reason: str) -> int:
    status.start(folder)
    status.finish(folder, reason)
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main(sys.argv[1:]))
