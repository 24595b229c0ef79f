"""Execution of one point: its plan, the lock on its folder, the work of its stage, and its status."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from mmdpo.config.choices import Stage
from mmdpo.console import print_line
from mmdpo.errors import Stopped, UserError
from mmdpo.files import atomic_write
from mmdpo.points import status
from mmdpo.points.changes import changed_since_planned, require_as_planned, require_unchanged
from mmdpo.points.identity import Role
from mmdpo.points.links import remove_dangling
from mmdpo.points.outcome import Outcome
from mmdpo.points.point import Point, require_stage
from mmdpo.points.records import FILE, write_record
from mmdpo.signals import Interrupted
from mmdpo.training.distributed import rank, world_size

BUSY = "another process runs it now"
BUSY_CODE = 3
"""Exit code of several processes if another run holds their point."""


def run_point(p: Point, stage: Stage) -> str | None:
    """Run a stage of a point, in any of several processes that run it together.

    The contents behind the point's paths are checked first: they may have changed since the point was planned.

    Args:
        p: The point.
        stage: A stage of points.

    Returns:
        The reason if it failed, for example because the point has no such stage or needs another one first.

    Raises:
        Stopped: A limit of the judge ended the run.
    """
    from mmdpo.pipeline import point_stages as stages

    if rank():
        if stage in (Stage.experiment, Stage.train):
            train_missing_nonzero_rank([p])
        return None
    if stage is Stage.export:
        require_stage(p, stage)
        require_as_planned(p)
        require_unchanged([p])
        stages.export(p)
        return None
    plan_point(p)
    return _run(p, stage, stages.work_of(stage))


def train_missing_nonzero_rank(points: Sequence[Point]) -> list[Outcome]:
    """Train the points that are not trained yet, as a process that is not the first of several."""
    from mmdpo.pipeline import point_stages as stages

    for p in points:
        if p.role is Role.trained and not (p.folder / "training.json").exists():
            require_as_planned(p)
            stages.train_nonzero_rank(p)
    return []


def plan_point(p: Point) -> None:
    """Write a point's config, contents and status, unless it is done or another process runs it."""
    with suppress(Timeout), _lock(p):
        if status.is_done(p.folder):
            return
        if status.read_status(p.folder).state is status.State.running:  # nobody holds its lock
            status.interrupt(p.folder, "killed")
        status.plan(p.folder)
        with atomic_write(p.folder / "config.yaml") as aside:
            OmegaConf.save(OmegaConf.structured(p.config), aside)
        if not (p.folder / FILE).exists() and not changed_since_planned(p):
            write_record(p.folder, p.identity)


def _lock(p: Point) -> FileLock:
    """Return the lock of the process that runs the point; the operating system frees it when that process ends."""
    remove_dangling(p.folder)
    p.folder.mkdir(parents=True, exist_ok=True)
    return FileLock(p.folder / ".lock", timeout=0)


def _run(p: Point, stage: Stage, work: Callable[[Point], object]) -> str | None:
    """Do the work of one point; returns the reason if it failed."""
    try:
        with _lock(p):
            if status.is_done(p.folder):
                return None  # another process was faster
            status.start(p.folder)
            require_stage(p, stage)
            require_as_planned(p)
            require_unchanged([p])
            work(p)
            if (p.folder / "result.json").exists():
                status.finish(p.folder)
            else:
                status.plan(p.folder)
            return None
    except Timeout:
        if world_size() > 1:
            print_line(f"{p.name}: {BUSY}")
            os._exit(BUSY_CODE)  # the others wait for this process
        return BUSY
    except Interrupted as interruption:
        status.interrupt(p.folder, interruption.cause)
        raise
    except (KeyboardInterrupt, Stopped) as stop:
        status.finish(p.folder, str(stop) or "interrupted")
        raise
    except Exception as error:  # a failed point does not stop the others
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        status.finish(p.folder, reason, traceback.format_exc())
        print_line(f"failed: {reason}")
        if world_size() > 1:
            traceback.print_exc()
            os._exit(1)  # the others wait for this process; torchrun and srun end them
        return reason
