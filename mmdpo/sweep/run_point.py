"""Execution of one point: its plan, the lock on its folder, the work of its stage, and its status."""

from __future__ import annotations

import functools
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from mmdpo.activity import recorded_by
from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import Stopped, UserError
from mmdpo.files import atomic_write
from mmdpo.leftovers import remove_leftovers
from mmdpo.models.model_files import model_shape
from mmdpo.points import status
from mmdpo.points.changes import changed_since_planned, require_as_planned, require_unchanged
from mmdpo.points.identity import Role
from mmdpo.points.links import remove_dangling
from mmdpo.points.outcome import Outcome
from mmdpo.points.point import Point, is_judged_again, require_stage
from mmdpo.points.records import read_record, write_record
from mmdpo.points.results import has_result, read_training
from mmdpo.points.rungs import is_rung_trained
from mmdpo.signals import CAUSES, Interrupted
from mmdpo.storage import storage_advice
from mmdpo.sweep.point_log import with_log
from mmdpo.timings import POINT, timed, timings_of
from mmdpo.training.announcement import is_training_announced
from mmdpo.training.distributed import rank, world_size

BUSY = "another process runs it now"
BUSY_CODE = 3
"""Exit code of several processes if another run holds their point."""
POLL_SECONDS = 0.5
"""The time between two looks at what the first of several processes has decided or written."""


def run_point(p: Point, stage: Stage, own_log: bool = False) -> str | None:
    """Run a stage of a point, in any of several processes that run it together.

    The contents behind the point's paths are checked first: they may have changed since the point was planned.

    Args:
        p: The point.
        stage: A stage of points.
        own_log: Whether the point's output also goes to a log of its own; it always does if points run in turn here.

    Returns:
        The reason if it failed, for example because the point has no such stage or needs another one first.

    Raises:
        Stopped: A limit of the judge ended the run.
    """
    from mmdpo.pipeline import point_stages as stages

    if rank():
        follow_first_process([p], stage)
        return None
    if stage is Stage.export:
        require_stage(p, stage)
        require_as_planned(p)
        require_unchanged([p])
        stages.export(p)
        return None
    plan_point(p)
    work = stages.work_of(stage)
    if own_log or p.config.cluster.runner is Runner.in_turn:  # the others redirect their processes' output
        work = with_log(work)
    return _run(p, stage, work)


def run_rung(p: Point, share: float, own_log: bool = False) -> str | None:
    """Train a point to a rung and measure it there, in any of several processes that run it together.

    Args:
        p: A trained point.
        share: The rung, as a share of the point's optimizer steps.
        own_log: Whether the point's output also goes to a log of its own.

    Returns:
        The reason if it failed.

    Raises:
        Stopped: A limit of the judge ended the run.
    """
    from mmdpo.pipeline import rungs

    if rank():
        while not is_rung_trained(p.folder, share) and read_training(p.folder) is None:
            if is_training_announced(p.folder):
                rungs.follow_to(p, share)
                return None
            time.sleep(POLL_SECONDS)
        return None
    plan_point(p)
    work: Callable[[Point], object] = functools.partial(rungs.run_to_rung, share=share)
    return _run(p, Stage.experiment, with_log(work) if own_log or p.config.cluster.runner is Runner.in_turn else work)


def follow_first_process(points: Sequence[Point], stage: Stage) -> list[Outcome]:
    """Do the part of a process that is not the first of several: train with it, and answer a share of the samples."""
    from mmdpo.pipeline import point_stages as stages

    for p in points:
        if stage in (Stage.experiment, Stage.train):
            train_missing_nonzero_rank(p, stage)
        if stage in (Stage.experiment, Stage.evaluate) and _wait_for_model(p):
            stages.answer_nonzero_rank(p)
    return []


def train_missing_nonzero_rank(p: Point, stage: Stage) -> None:
    """Train a point if the first of several processes decides to, as one that is not the first."""
    from mmdpo.pipeline import point_stages as stages

    if p.role is not Role.trained:
        return
    if read_training(p.folder) is None:
        require_as_planned(p)
    while stages.finished_training(p) is None and not (stage is Stage.experiment and status.is_done(p.folder)):
        if is_training_announced(p.folder):
            stages.train_nonzero_rank(p)
            return
        time.sleep(POLL_SECONDS)


def _wait_for_model(p: Point) -> bool:
    """Wait for the adapter that the first process writes; return False for a point that needs no answers."""
    from mmdpo.pipeline import point_stages as stages

    while not status.is_done(p.folder):
        if p.role is not Role.trained or stages.finished_training(p) is not None:
            return True
        time.sleep(POLL_SECONDS)
    return False


def plan_point(p: Point) -> None:
    """Write a point's config, contents and status, unless it is done or another process runs it."""
    if p.shard is not None and read_record(p.folder) is None:
        plan_point(p.whole)
    with suppress(Timeout), _lock(p):
        if status.is_done(p.folder):
            return
        if status.read_status(p.work_folder).state is status.State.running:  # nobody holds its lock
            status.interrupt(p.work_folder, "killed")
        status.plan(p.work_folder)
        if p.shard is not None:
            return
        _write_config(p)
        if read_record(p.folder) is None and not changed_since_planned(p):
            write_record(p.folder, p.identity)


_written: dict[Path, Config] = {}
"""The configs that this process has written, by their files: a point is planned again for each stage and rung."""


def _write_config(p: Point) -> None:
    """Write a point's config, unless this process has done it already."""
    file = p.folder / "config.yaml"
    if _written.get(file) != p.config or not file.exists():
        with atomic_write(file) as aside:
            OmegaConf.save(OmegaConf.structured(p.config), aside)
        _written[file] = p.config


def _lock(p: Point) -> FileLock:
    """Return the lock of the process that runs the point; the operating system frees it when that process ends."""
    remove_dangling(p.folder)
    p.work_folder.mkdir(parents=True, exist_ok=True)
    return FileLock(p.work_folder / ".lock", timeout=0)


def _holder(p: Point) -> str:
    """Name the process that runs the point, by its status."""
    known = status.read_status(p.work_folder)
    job = f", job {known.job_id}" if known.job_id else ""
    return f"process {known.pid or '?'} on {known.host or '?'}{job}"


def _run(p: Point, stage: Stage, work: Callable[[Point], object]) -> str | None:
    """Do the work of one point; returns the reason if it failed."""
    try:
        with _lock(p):
            done = status.is_done(p.folder) and not is_judged_again(p, stage)
            if done and (stage is not Stage.train or status.is_stage_done(p.folder, stage, [])):
                return None  # another process was faster
            status.start(p.work_folder)
            remove_leftovers(p.work_folder)
            require_stage(p, stage)
            require_as_planned(p)
            require_unchanged([p])
            with (
                recorded_by(status.StatusRecorder(p.work_folder)),
                timings_of(model_shape(p.config.model), p.study.name),
                timed(POINT, points=1, trained=p.role is Role.trained),
            ):
                work(p)
            if p.shard is not None or has_result(p.folder):
                status.finish(p.work_folder)
            else:
                status.plan(p.work_folder)
            return None
    except Timeout:
        if world_size() > 1:
            print_line(f"{p.name}: {BUSY} ({_holder(p)})")
            os._exit(BUSY_CODE)  # the others wait for this process
        return f"{BUSY} ({_holder(p)})"
    except KeyboardInterrupt as interruption:
        cause = interruption.cause if isinstance(interruption, Interrupted) else CAUSES[signal.SIGINT]
        with suppress(OSError):  # a full disk must not bury the reason
            status.interrupt(p.work_folder, cause)
        raise
    except Stopped as stop:
        status.finish(p.work_folder, str(stop))
        raise
    except Exception as error:  # a failed point does not stop the others
        reason = str(error) if isinstance(error, UserError) else storage_advice(error)
        reason = reason or f"{type(error).__name__}: {error}"
        with suppress(OSError):
            status.finish(p.work_folder, reason, traceback.format_exc())
        print_line(f"failed: {reason}")
        if world_size() > 1:
            traceback.print_exc()
            os._exit(1)  # the others wait for this process; torchrun and srun end them
        return reason
