"""Preview of the jobs that a command with cluster=slurm would submit (dry_run=true)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmdpo.config.choices import Stage
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.console import print_line
from mmdpo.points.contents import contents_remembered
from mmdpo.points.links import known_elsewhere
from mmdpo.points.point import Point, points_of, require_stage
from mmdpo.points.status import is_done
from mmdpo.slurm import client as slurm
from mmdpo.slurm import sbatch
from mmdpo.slurm.halving import undecided_round
from mmdpo.slurm.judging import judges_here
from mmdpo.slurm.paths import require_usable
from mmdpo.slurm.planning import (
    decides_in_job,
    limit_line,
    parts_of_plan,
    points_by_study,
    tasks_of_points,
    tasks_to_judge,
    tasks_to_train,
)
from mmdpo.slurm.resources import check_fits
from mmdpo.slurm.submission import Submission, is_point_stage, read_submissions
from mmdpo.slurm.submit import (
    check_unchanged,
    new_submission,
    plan_submission,
    preparation_tasks,
    reuse_preparations,
)
from mmdpo.slurm.task_states import combine_states, invisible_submissions, query_jobs
from mmdpo.sweep.halving import describe_halving, is_halved

HoursLines = Callable[[Sequence[Point], Stage], Iterable[str]]


def preview(configs: Sequence[Config], stage: Stage, hours: HoursLines) -> None:
    """Print what `launch` would submit, with the scripts for sbatch.

    Args:
        configs: The configs of the points.
        stage: The stage to run.
        hours: Describe the hours of points.
    """
    cluster, unavailable = configs[0].cluster, slurm.unavailable_reason()
    if not unavailable:
        check_fits(cluster)
    with contents_remembered():
        for study, points in points_by_study(points_of(configs)).items():
            _preview_study(study, points, stage, unavailable, hours)


def _preview_study(study: Path, points: Sequence[Point], stage: Stage, unavailable: str, hours: HoursLines) -> None:
    configs = [p.config for p in points]
    cluster = configs[0].cluster
    require_usable(study)
    found = read_submissions(study)
    check_unchanged(found, configs, None)
    tasks = tasks_of_points(points, stage)
    if is_halved(configs[0], stage):
        where = "by a job of its own" if decides_in_job(configs[0]) else "by the waiting command, or its rerun"
        print_line(f"each rung is an array, and is decided {where}; this is the next one")
        for line in describe_halving([task.point for task in tasks]):
            print_line(line)
        tasks = undecided_round(tasks)
    if is_point_stage(stage):
        known = known_elsewhere([task.point for task in tasks if not is_done(task.point.folder)])
        for folder, target in known.items():
            print_line(f"{folder}: known from {target.parent.name}, would be linked")
        tasks = [task for task in tasks if task.point.folder not in known]
        for p in points:
            if p.folder not in known:
                require_stage(p, stage)
    jobs = None if unavailable else query_jobs(found)
    states = combine_states(found, jobs, () if unavailable else invisible_submissions(found))
    plan = plan_submission(study, tasks, states)
    print_line(plan.line())
    if judges_here(configs[0], stage):
        print_line("judging: by this command, as answers arrive (cluster.judge=login)")
    judged = tasks_to_judge(plan, cluster)
    if not plan.missing and not judged:
        return
    if plan.missing:
        print_line(limit_line(plan, cluster))
        for line in [] if cluster.minutes_per_point else hours([one.point for one in plan.missing if one.role], stage):
            print_line(line)
    count = len(plan.missing)
    shared, prepared_by = reuse_preparations(preparation_tasks(tasks_to_train(plan), found), found, jobs or {})
    largest = max(count, 1) if unavailable else slurm.max_array_size()
    parts = parts_of_plan(plan, cluster, bool(shared), largest, bool(judged))
    submission = new_submission(study, cluster, configs, "code-...", parts, prepared_by)
    for text in distinct_scripts(submission, cluster):
        print_line(text)
        if not unavailable and (reason := sbatch.rejection_reason(text)):
            print_line(f"SLURM would reject this at the moment: {reason}")
    if unavailable:
        print_line(f"SLURM has not checked this: {unavailable}")


def distinct_scripts(submission: Submission, cluster: ClusterConfig) -> list[str]:
    """Return one script for each kind of part."""
    kinds = {part.kind: part for part in reversed(submission.parts)}
    return [sbatch.script_text(submission, part, cluster) for part in reversed(kinds.values())]
