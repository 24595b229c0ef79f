"""One process of a task, started by srun.

    python -m mmdpo.slurm.worker SUBMISSION KIND FIRST INDEX [LINES]

LINES are the numbers of the tasks in a job that runs several of them in turn (cluster.points_per_job), such as 0,2.
Exit codes: 0 done, 1 failed, or ended by a limit of the judge (status.json has the reason), 3 another run holds the
point, 75 saved and to be continued.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from mmdpo.activity import recorded_by
from mmdpo.config.choices import Stage
from mmdpo.console import print_line
from mmdpo.errors import Stopped, UserError
from mmdpo.leftovers import use_own_temporary_folder
from mmdpo.logs import log_to
from mmdpo.models.model_cache import use_model_cache
from mmdpo.output import tolerate_any_encoding
from mmdpo.pipeline import point_stages as stages
from mmdpo.pipeline.rungs import judge_rung
from mmdpo.points import status
from mmdpo.points.changes import all_inputs, changed_since
from mmdpo.signals import Interrupted, listen, raise_if_asked
from mmdpo.slurm.cancellations import read_cancelled
from mmdpo.slurm.client import is_installed
from mmdpo.slurm.halving import next_round
from mmdpo.slurm.judging import judge_tasks
from mmdpo.slurm.launch import continue_halving
from mmdpo.slurm.submission import (
    DECIDE,
    JUDGE,
    PREPARE,
    SlurmTask,
    Submission,
    is_point_stage,
    read_submission,
    read_submissions,
)
from mmdpo.slurm.supervisor import EXIT_INTERRUPTED
from mmdpo.slurm.task_states import combine_states
from mmdpo.sweep.measure import measure
from mmdpo.sweep.run_point import BUSY, BUSY_CODE, run_point, run_rung
from mmdpo.training.distributed import from_slurm, rank, world_size


def main(arguments: list[str]) -> int:
    """Run this process's share of the task and return its exit code."""
    folder, kind, first, index, *lines = arguments
    from_slurm()
    listen()
    submission = read_submission(Path(folder))
    part = next(part for part in submission.parts if (part.kind, part.first) == (kind, int(first)))
    try:
        if kind == PREPARE:
            tasks = list(submission.tasks(PREPARE))
            works = [partial(stages.make_shared_data, task.typed_config) for task in tasks]
            return _make_unchanged(submission, tasks, submission.folder / PREPARE, works)
        if kind == JUDGE:
            return judge_in_job(submission)
        if kind == DECIDE:
            return decide_in_job(submission)
        if lines:
            tasks = submission.group(part, int(index))
            return run_group(submission, [tasks[int(line)] for line in lines[0].split(",")])
        task = submission.task(part, int(index))
        if not is_point_stage(task.stage):
            config = task.typed_config
            measures = task.stage is Stage.measure
            work = partial(measure, [config]) if measures else partial(stages.run_data_stage, config, task.stage)
            return _make_unchanged(submission, [task], submission.folder_of(task), [work])
        return run_point_task(task, submission.folder_of(task))
    except Interrupted:
        return EXIT_INTERRUPTED


def judge_in_job(submission: Submission) -> int:
    """Judge the points of a submission in the first process, and return the exit code."""
    if rank():
        return 0
    folder = submission.folder / JUDGE
    status.start(folder)
    try:
        with recorded_by(status.StatusRecorder(folder)):
            code = judge_tasks(submission.tasks(JUDGE), lambda p: run_point(p, Stage.judge))
    except Stopped as stop:  # a requeue would reach the same limit
        status.finish(folder, str(stop))
        print(stop, file=sys.stderr)
        return 1
    except Interrupted as interruption:
        status.interrupt(folder, interruption.cause)
        raise
    status.finish(folder, "some points could not be judged; see its log" if code else None)
    return code


def decide_in_job(submission: Submission) -> int:
    """Decide a rung of a study and submit the next round, in the first process, and return the exit code.

    On a node without sbatch, the rung is decided alone; the waiting command, or a rerun of it, submits the next round.
    """
    if rank():
        return 0
    folder, tasks = submission.folder / DECIDE, list(submission.tasks(DECIDE))

    def decide() -> None:
        if is_installed():
            continue_halving(submission.study, tasks, judge_rung, submission.name, submission.code)
            return
        next_round(tasks, judge_rung, combine_states(read_submissions(submission.study), {}), submission.name)
        print_line("there is no sbatch on this node: the waiting command, or its rerun, submits the next round")

    return make_data(folder, [decide])


def run_group(submission: Submission, tasks: Sequence[SlurmTask]) -> int:
    """Run the stage of several points in turn, which load libraries and model once.

    Args:
        submission: The submission that they belong to.
        tasks: The tasks of the points.

    Returns:
        The exit code: EXIT_BUSY if another run holds one of them, 1 if one failed.
    """
    codes = set()
    with use_model_cache() if world_size() == 1 else nullcontext():
        for number, task in enumerate(tasks, 1):
            raise_if_asked()
            if world_size() == 1 and task.name in read_cancelled(submission):
                continue
            print_line(f"[{number}/{len(tasks)}] {task.name}")
            codes.add(run_point_task(task, submission.folder_of(task), own_log=True))
    return BUSY_CODE if BUSY_CODE in codes else max(codes, default=0)


def run_point_task(task: SlurmTask, folder: Path, own_log: bool = False) -> int:
    """Run a stage of a point and return the exit code.

    `run_point` compares the contents behind the point's paths with those that it was planned with, while it holds the
    point's lock.

    Args:
        task: The task of the point.
        folder: The folder of its status.
        own_log: Whether this process runs other points, too, so that the point needs a log of its own.
    """
    try:
        with log_to(sys.stderr):
            error = (
                run_point(task.point, task.stage, own_log)
                if task.rung is None
                else run_rung(task.point, task.rung, own_log)
            )
    except Stopped as stop:  # a requeue would reach the same limit
        print(stop, file=sys.stderr)
        return 1
    if error is None:
        return 0
    print(status.read_status(folder).traceback or error, file=sys.stderr)
    return BUSY_CODE if error.startswith(BUSY) else 1


def change_reason(submission: Submission, tasks: Sequence[SlurmTask]) -> str:
    """Return which contents have changed since the submission, or are gone; empty if none has.

    A job may start long after it was submitted.
    """
    try:
        changed = changed_since(submission.inputs, all_inputs(task.typed_config for task in tasks))
    except UserError as error:
        return str(error)
    if not changed:
        return ""
    return (
        f"changed since the job was submitted ({submission.created}): {', '.join(changed)}. Restore it, or rerun the "
        "launch command with study=NEW_NAME or resume=force"
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
                with recorded_by(status.StatusRecorder(folder)):
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
    tolerate_any_encoding()
    use_own_temporary_folder()
    sys.exit(main(sys.argv[1:]))
