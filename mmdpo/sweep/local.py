"""Execution of the points of a sweep on this machine: one after another in this process, or in several.

Under torchrun or srun several processes run this module with the same points: the others train with the
first one and answer shares of the samples; the first does all the other work.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import Outstanding
from mmdpo.models.model_cache import use_model_cache
from mmdpo.models.model_files import model_shape
from mmdpo.pipeline.imported import describe_imported, imported_answers, imported_to_judge, judge_imported
from mmdpo.points import commands, status
from mmdpo.points.changes import require_unchanged
from mmdpo.points.contents import contents_remembered
from mmdpo.points.links import counts_line, known_elsewhere, link, link_known
from mmdpo.points.outcome import Outcome, outcome
from mmdpo.points.point import (
    Point,
    baselines,
    is_judged_again,
    points_of,
    require_stage,
    training_to_take,
    unique_up_to_axes,
)
from mmdpo.points.study_records import adopt_previous
from mmdpo.sweep.halving import Run, describe_halving, is_halved, not_pruned, run_halving
from mmdpo.sweep.hours import hours_lines
from mmdpo.sweep.measure import measure
from mmdpo.sweep.parallel import keep_processes, run_parallel
from mmdpo.sweep.run_point import follow_first_process, plan_point, run_point, run_rung
from mmdpo.sweep.stops import raise_stopped
from mmdpo.timings import REPORT, timed, timings_of
from mmdpo.training.distributed import rank, world_size

Prune = Callable[[Sequence[Point], Run], tuple[list[Point], dict[Path, str]]]
"""Trains missing points to rungs; returns those to run to the end, and the reasons of failed ones by their folders."""


def run_sweep(configs: Sequence[Config], prune: Prune | None = None) -> list[Outcome]:
    """Run what is missing of these points and of their baselines; report each study.

    A point that is finished in another study is linked. A failed point does not stop the others.

    Args:
        configs: The config of each point that was asked for.
        prune: Function that trains points to rungs first; None to train each to the end.

    Returns:
        The outcomes of `configs`, in their order, then those of baselines that failed.

    Raises:
        UserError: A content behind a path has changed since the study's points were made, or data have wrong rows.
    """
    from mmdpo.pipeline import training_sets

    with contents_remembered():
        asked, points = _with_baselines(configs)
        if rank():
            return follow_first_process(points, Stage.experiment)
        require_unchanged(points)
        open_points = [p for p in points if not status.is_done(p.folder)]
        known = known_elsewhere(open_points)
        missing = [p for p in open_points if p.folder not in known]
        if is_halved(configs[0], Stage.experiment):
            missing = not_pruned(missing)
        training_sets.check_own_data(p.config for p in missing)
        pruned = len(open_points) - len(known) - len(missing)
        print_line(counts_line(len(points), len(points) - len(open_points), [*known.values()], len(missing), pruned))
        for study in {p.study for p in points}:
            commands.begin(study)
            adopt_previous(study)
        for folder, target in known.items():
            link(folder, target)
        for p in missing:
            plan_point(p)
    cached = prune is not None and world_size() == 1
    with use_model_cache() if cached else nullcontext(), keep_processes(len(missing)):
        run = functools.partial(_run_each, Stage.experiment)
        to_finish, errors = prune(missing, run) if prune is not None else (missing, {})
        errors |= _run_all(to_finish, Stage.experiment, points)
    report_studies(asked)
    outcomes = [outcome(p, errors.get(p.work_folder)) for p in asked]
    folders = {p.folder for p in asked}
    return outcomes + [outcome(p, errors[p.work_folder]) for p in points if p.work_folder in {*errors} - folders]


def run_stage(configs: Sequence[Config], stage: Stage) -> list[Outcome]:
    """Run one stage alone for each config.

    Args:
        configs: The configs of the points.
        stage: Any stage but `experiment`.

    Returns:
        The outcome of each point; none of stages that have no points.

    Raises:
        UserError: A point has no such stage, or a content behind a path has changed since its study was made.
    """
    from mmdpo.pipeline import evaluating
    from mmdpo.pipeline import point_stages as stages

    points = sorted({p.work_folder: p for p in points_of(configs)}.values(), key=lambda p: p.config.round)
    if rank():
        return follow_first_process(points, stage)
    if stage is Stage.report:
        for p in points:
            commands.begin(p.study)
        report_studies(points)
        return []
    if stage is Stage.measure:
        measure(configs)
        return []
    if stage not in (*stages.POINT_STAGES, Stage.export):
        for config in configs:
            stages.run_data_stage(config, stage)
        return []
    points = _without_absent(points, configs, stage)
    with contents_remembered():
        require_unchanged(points)
        link_known(points)
    for p in points:
        require_stage(p, stage)
    for study in {Path(config.out, config.study) for config in configs}:
        commands.begin(study)
    errors = _run_all(points, stage, points)
    if stage is Stage.judge:
        judge_imported(configs)
        evaluating.close_batch_jobs(configs)
    return [Outcome(p, error=errors.get(p.work_folder)) for p in points]


def _without_absent(points: list[Point], configs: Sequence[Config], stage: Stage) -> list[Point]:
    """Leave out points that were never begun, of a study whose imported answers a command judges."""
    if stage is not Stage.judge or not any(map(imported_answers, configs)):
        return points
    return [p for p in points if p.folder.exists()]


def describe(configs: Sequence[Config], stage: Stage) -> None:
    """Print what `run_sweep` or `run_stage` would do, and do nothing."""
    from mmdpo.pipeline import data_stages
    from mmdpo.pipeline.fit_lines import fit_lines
    from mmdpo.pipeline.judging_cost import judging_cost
    from mmdpo.pipeline.point_stages import POINT_STAGES
    from mmdpo.pipeline.power_lines import power_lines
    from mmdpo.pipeline.round_plan import describe_rounds

    uses_data = stage not in (Stage.evaluate, Stage.judge)
    first_rounds = [config for config in configs if uses_data and config.round == 1]
    trained_first = sorted(first_rounds, key=lambda config: config.is_base)
    lines = [data_stages.describe_data(config, stage) for config in unique_up_to_axes(trained_first)]
    lines.append(describe_rounds(configs, stage))
    for line in dict.fromkeys(itertools.chain.from_iterable(lines)):
        print_line(line)
    if stage not in POINT_STAGES:
        return
    with contents_remembered():
        asked, with_baselines = _with_baselines(configs)
        points = with_baselines if stage is Stage.experiment else list({p.work_folder: p for p in asked}.values())
        points = _without_absent(points, configs, stage)
        require_unchanged(points)
        missing = [p for p in points if not _is_done(p, stage)]
        known = known_elsewhere(missing)
        if stage in (Stage.experiment, Stage.judge):
            imported = imported_to_judge(configs) if stage is Stage.judge else []
            for line in judging_cost([p for p in missing if p.folder not in known], imported):
                print_line(line)
        for line in power_lines(points) if stage is Stage.experiment else ():
            print_line(line)
        if stage in (Stage.experiment, Stage.train):
            for line in fit_lines([p for p in missing if p.folder not in known]):
                print_line(line)
        if configs[0].cluster.runner is Runner.slurm:
            return
        for p in missing:
            if stage is not Stage.experiment and p.folder not in known:
                require_stage(p, stage)
        if is_halved(configs[0], stage):
            for line in describe_halving(points):
                print_line(line)
        for p in points:
            print_line(f"{p.work_folder}: {_plan_of(p, known, stage)}")
        for line in describe_imported(configs) if stage is Stage.judge else []:
            print_line(line)
        to_run = [p for p in missing if p.folder not in known]
        print_line(counts_line(len(points), len(points) - len(missing), [*known.values()], len(to_run)))
        for line in hours_lines(to_run, stage):
            print_line(line)


def report_studies(points: Sequence[Point]) -> None:
    """Write the table, pictures and page of each study of the points; publish it in W&B if that is asked for."""
    from mmdpo.analysis.report import write_report
    from mmdpo.dashboard.publish import publish_after_sweep

    for study, tracking in {p.study: p.config.tracking for p in points}.items():
        with timings_of(model_shape(points[0].config.model), study.name), timed(REPORT, reports=1):
            write_report(study)
        publish_after_sweep(study, tracking)


def _with_baselines(configs: Sequence[Config]) -> tuple[list[Point], list[Point]]:
    """Return the point of each config, and all points of the sweep, each once, its baselines first."""
    asked = points_of(configs)
    extra = [p for config in unique_up_to_axes(configs) for p in baselines(config)]
    folders = {p.folder for p in asked}
    unasked = {p.folder: p for p in extra if p.folder not in folders}
    by_round = sorted({p.folder: p for p in asked}.values(), key=lambda p: p.config.round)
    return asked, [*unasked.values(), *by_round]


def _is_done(p: Point, stage: Stage) -> bool:
    if p.shard is not None:
        return status.is_share_done(p.folder, p.shard, p.config.bench.tasks)
    return not is_judged_again(p, stage) and status.is_stage_done(p.folder, stage, p.config.bench.tasks)


def _plan_of(p: Point, known: dict[Path, Path], stage: Stage) -> str:
    if p.folder in known:
        return f"known from {known[p.folder].parent.name}, would be linked"
    if _is_done(p, stage):
        return "done, would be skipped"
    source = training_to_take(p)
    known_from = f"training known from {source.parent.name}/{source.name}, " if source else ""
    if stage is not Stage.experiment:
        return f"{known_from}would {stage.value}{f' share {p.config.bench.shard}' if p.shard else ''}"
    return f"{known_from}would {'measure' if p.config.is_base or source else 'train and measure'}"


def _run_all(points: Sequence[Point], stage: Stage, whole: Sequence[Point] = ()) -> dict[Path, str]:
    """Run a stage of points of a command, one round after the other, pruning where that is asked for.

    Args:
        points: The points to run, by their rounds.
        stage: The stage.
        whole: All points of the command.

    Returns:
        The reasons of the points that failed, by their folders.
    """
    errors: dict[Path, str] = {}
    with use_model_cache() if world_size() == 1 else nullcontext(), keep_processes(len(points)):
        if whole and is_halved(whole[0].config, stage):
            return run_halving(whole, points, functools.partial(_run_each, stage))
        rounds = [[*found] for _, found in itertools.groupby(points, lambda p: p.config.round)]
        for of_round in rounds:
            if len(rounds) > 1:
                print_line(f"round {of_round[0].config.round} of {rounds[-1][0].config.round}")
            errors |= _run_each(stage, of_round)
    return errors


def _run_each(stage: Stage, points: Sequence[Point], rung: float | None = None) -> dict[Path, str]:
    """Run a stage of points, or train them to a rung; returns the reasons of those that failed."""
    if points and points[0].config.cluster.runner is Runner.parallel and stage is not Stage.export:
        return run_parallel(points, stage, rung)
    errors: dict[Path, str] = {}
    stops = []
    with use_model_cache() if world_size() == 1 else nullcontext():
        for number, p in enumerate(points, 1):
            print_line(f"[{number}/{len(points)}] {p.work_name}")
            try:
                if error := run_point(p, stage) if rung is None else run_rung(p, rung):
                    errors[p.work_folder] = error
            except Outstanding as stop:  # the others submit their batch jobs before anyone waits
                stops.append(stop)
    raise_stopped(stops)
    return errors
