"""Runs the points of a sweep on this machine: one after another in this process, or in several.

Under torchrun or srun several processes come here with the same points: the first does all of it, the
others train with it.
"""

from __future__ import annotations

import itertools
import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import Stopped, UserError
from mmdpo.files import atomic_write
from mmdpo.models.model_cache import use_model_cache
from mmdpo.points import status
from mmdpo.points.identity import Point, Role, baselines, point, require_stage, unique_up_to_axes
from mmdpo.points.outcome import Outcome, outcome
from mmdpo.signals import Interrupted
from mmdpo.training.distributed import rank, world_size

BUSY = "another process runs it now"
BUSY_CODE = 3
"""Exit code of several processes whose point another run is at."""


def run_sweep(configs: Sequence[Config]) -> list[Outcome]:
    """Run what is missing of these points and of their baselines; report each study.

    A failed point does not stop the others. The outcomes are those of `configs`, in their order, then
    those of baselines that failed.
    """
    from mmdpo.pipeline import training_sets

    asked = {p.folder: p for p in map(point, configs)}
    extra = {p.folder: p for c in unique_up_to_axes(configs) for p in baselines(c) if p.folder not in asked}
    points = [*extra.values(), *asked.values()]
    if rank():
        return _train_nonzero_rank(points)
    missing = [p for p in points if not status.is_done(p.folder)]
    for p in missing:
        if p.config.data.path is not None and not p.config.is_base:
            training_sets.training_set(p.config)  # a wrong row is said before the first point starts
    print_line(f"{len(points)} points: {len(points) - len(missing)} done, {len(missing)} to run")
    for p in missing:
        _plan(p)
    errors = _run_all(missing, Stage.experiment)
    report(list(asked.values()))
    outcomes = [outcome(p, errors.get(p.folder)) for p in map(point, configs)]
    return outcomes + [outcome(p, errors[p.folder]) for p in extra.values() if p.folder in errors]


def run_stage(configs: Sequence[Config], stage: Stage) -> list[Outcome]:
    """Run one stage alone for each config."""
    from mmdpo.pipeline import point_stages as stages

    points = list({p.folder: p for p in map(point, configs)}.values())
    if rank():
        return _train_nonzero_rank(points if stage is Stage.train else [])
    if stage is Stage.report:
        report(points)
        return []
    if stage not in (*stages.POINT_STAGES, Stage.export):
        for config in configs:
            stages.run_data_stage(config, stage)
        return []
    for p in points:
        require_stage(p, stage)
    errors = _run_all(points, stage)
    return [Outcome(p, error=errors.get(p.folder)) for p in points]


def _run_all(points: Sequence[Point], stage: Stage) -> dict[Path, str]:
    """Run a stage of all the points; returns the reasons of those that failed, by their folders."""
    if points and points[0].config.cluster.runner is Runner.parallel and stage is not Stage.export:
        from mmdpo.sweep.parallel import run_parallel

        return run_parallel(points, stage)
    errors = {}
    with use_model_cache() if world_size() == 1 else nullcontext():
        for number, p in enumerate(points, 1):
            print_line(f"[{number}/{len(points)}] {p.name}")
            if error := run_point(p, stage):
                errors[p.folder] = error
    return errors


def run_point(p: Point, stage: Stage) -> str | None:
    """Run a point's stage, whichever of several processes this is; returns the reason where it failed.

    Raises UserError for a point that has no such stage, or not yet.
    """
    from mmdpo.pipeline import point_stages as stages

    if rank():
        if stage in (Stage.experiment, Stage.train):
            _train_nonzero_rank([p])
        return None
    require_stage(p, stage)
    if stage is Stage.export:
        stages.export(p)
        return None
    _plan(p)
    return _run(p, stages.work_of(stage))


def _train_nonzero_rank(points: Sequence[Point]) -> list[Outcome]:
    """What all but the first of several processes do: they train what is not trained yet."""
    from mmdpo.pipeline import point_stages as stages

    for p in points:
        if p.role is Role.trained and not (p.folder / "training.json").exists():
            stages.train_nonzero_rank(p)
    return []


def describe(configs: Sequence[Config], stage: Stage) -> None:
    """Say what `run_sweep` or `run_stage` would do, and do nothing."""
    from mmdpo.pipeline import data_stages
    from mmdpo.pipeline.point_stages import POINT_STAGES

    uses_data = stage not in (Stage.evaluate, Stage.judge)
    trained_first = sorted(configs if uses_data else (), key=lambda config: config.is_base)
    lines = (data_stages.describe_data(config, stage) for config in unique_up_to_axes(trained_first))
    for line in dict.fromkeys(itertools.chain.from_iterable(lines)):
        print_line(line)
    if stage not in POINT_STAGES:
        return
    if configs[0].cluster.runner is Runner.slurm:
        return
    points = {p.folder: p for config in unique_up_to_axes(configs) for p in baselines(config)}
    points |= {p.folder: p for p in map(point, configs)}
    for folder, p in points.items():
        steps = stage.value if stage is not Stage.experiment else "measure" if p.config.is_base else "train and measure"
        done = status.is_stage_done(folder, stage, p.config.bench.tasks)
        print_line(f"{folder}: " + ("done, would be skipped" if done else f"would {steps}"))


def report(points: Sequence[Point]) -> None:
    """Write the table, pictures and page of each study that the points lie in."""
    from mmdpo.analysis.report import write_report

    for study in dict.fromkeys(p.study for p in points):
        write_report(study)


def _lock(p: Point) -> FileLock:
    """Held by the process that runs the point; the operating system frees it if that is killed."""
    p.folder.mkdir(parents=True, exist_ok=True)
    return FileLock(p.folder / ".lock", timeout=0)


def _plan(p: Point) -> None:
    """Leave a trace of the point, unless it is done or another process is at it."""
    with suppress(Timeout), _lock(p):
        if status.is_done(p.folder):
            return
        status.plan(p.folder)
        with atomic_write(p.folder / "config.yaml") as aside:
            OmegaConf.save(OmegaConf.structured(p.config), aside)


def _run(p: Point, work: Callable[[Point], object]) -> str | None:
    """Do the work of one point; returns the reason where it failed."""
    try:
        with _lock(p):
            if status.is_done(p.folder):
                return None  # another process was faster
            status.start(p.folder)
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
    except Exception as error:  # whatever it is, the other points go on
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        status.finish(p.folder, reason, traceback.format_exc())
        print_line(f"failed: {reason}")
        if world_size() > 1:
            traceback.print_exc()
            os._exit(1)  # the others wait for this process; torchrun and srun end them
        return reason
