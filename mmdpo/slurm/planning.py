"""The tasks and jobs of a command, and the limit of their hours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mmdpo.config.choices import JudgePlace, Stage
from mmdpo.config.judging_place import is_judged_apart
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.points.contents import contents_remembered
from mmdpo.points.point import Point, baselines, training_to_take, unique_up_to_axes
from mmdpo.slurm.submission import DECIDE, Part, SlurmTask, is_point_stage
from mmdpo.slurm.submit import SubmissionPlan, split_into_parts
from mmdpo.slurm.task_states import is_task_judged_apart


def tasks_of_points(points: Sequence[Point], stage: Stage) -> list[SlurmTask]:
    """Return the tasks of a command, each once; for `experiment`, those of the baselines first.

    Raises UserError for `export`, which runs on one machine.
    """
    if stage is Stage.export:
        raise UserError("stage=export needs no cluster: type cluster=local")
    if stage is Stage.measure:
        firsts = unique_up_to_axes(p.config for p in points)
        points = [p for p in points if any(p.config is config for config in firsts)]
    if stage is not Stage.experiment:
        return list({task.name: task for task in (SlurmTask.of(p, stage) for p in points)}.values())
    extra = [base for config in unique_up_to_axes(p.config for p in points) for base in baselines(config)]
    return [SlurmTask.of(p, stage) for p in {p.name: p for p in [*extra, *points]}.values()]


def tasks_to_judge(plan: SubmissionPlan, cluster: ClusterConfig) -> list[SlurmTask]:
    """Return the tasks that a job of its own will judge: those that are answered, and those to be submitted."""
    candidates = [*plan.answered, *plan.missing] if cluster.judge is JudgePlace.job else []
    ends = [task for task in candidates if task.stage is Stage.experiment and task.rung is None]
    return [task for task in ends if is_task_judged_apart(task)]


def tasks_to_train(plan: SubmissionPlan) -> list[SlurmTask]:
    """Return the missing tasks without those whose training another point has; print how many these are."""
    with contents_remembered():
        known = {task.name: source for task in plan.missing if task.role and (source := training_to_take(task.point))}
    if known:
        places = ", ".join(sorted({source.parent.name for source in known.values()}))
        print_line(f"{len(known)} trainings are known from points of {places} and are not repeated")
    return [task for task in plan.missing if task.name not in known]


def points_by_study(points: Sequence[Point]) -> dict[Path, list[Point]]:
    """Return the points of each study."""
    studies: dict[Path, list[Point]] = {}
    for p in points:
        studies.setdefault(p.study, []).append(p)
    return studies


def parts_of_plan(plan: SubmissionPlan, cluster: ClusterConfig, prepare: bool, largest: int, judge: bool) -> list[Part]:
    """Split the missing tasks of a plan into jobs.

    Args:
        plan: The plan of a study.
        cluster: The settings of `cluster=`.
        prepare: Whether a job makes shared data first.
        largest: The largest number of jobs in an array.
        judge: Whether a job judges the answers of all.

    Returns:
        The parts of the submission.
    """
    of_points = all(is_point_stage(task.stage) for task in plan.missing)
    parts = split_into_parts(len(plan.missing), prepare, largest, judge, cluster.points_per_job if of_points else 1)
    rungs = [task for task in plan.missing if task.rung is not None]
    return [*parts, *([Part(DECIDE)] if rungs and decides_in_job(rungs[0].typed_config) else [])]


def decides_in_job(config: Config) -> bool:
    """Return whether a job decides the rungs; otherwise the waiting command does, or the same command once more."""
    apart = is_judged_apart(config.bench.judge.client, config.cluster.runner)
    return not apart or config.cluster.judge is JudgePlace.job


def limit_line(plan: SubmissionPlan, cluster: ClusterConfig) -> str:
    """Return the most hours of the missing tasks, by cluster.minutes_per_point or else by the time limit.

    Args:
        plan: The plan of a study.
        cluster: The settings of `cluster=`.
    """
    points, gpus = len(plan.missing), cluster.nodes * cluster.gpus_per_node
    kind = "GPU-hours" if gpus else "hours"
    unit = f"{points} points x {gpus} GPUs" if gpus else f"{points} points without GPUs"
    if cluster.minutes_per_point is not None:
        total = points * max(gpus, 1) * cluster.minutes_per_point / 60
        return f"{unit} x {cluster.minutes_per_point:.1f} min (cluster.minutes_per_point): {total:.1f} {kind}"
    jobs = math.ceil(points / cluster.points_per_job)
    limit = jobs * max(gpus, 1) * cluster.timeout_min / 60
    return f"{unit}: at most {limit:.0f} {kind} if no job needs more than its time limit"
