"""A launch line with cluster=slurm: check, plan, submit, and watch until the jobs end or the user leaves.

Hydra's launchers wait for their jobs, and its maintainers want it so. This one hands Hydra results only
where it waited: with `cluster.wait=false`, or after Ctrl-C, the line ends, and what it submitted goes on.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmdpo.config.choices import Stage
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.files import read_json
from mmdpo.points.changes import require_unchanged
from mmdpo.points.contents import contents_remembered
from mmdpo.points.identity import Role
from mmdpo.points.links import known_elsewhere, link
from mmdpo.points.outcome import Outcome, outcome
from mmdpo.points.point import Point, baselines, points_of, require_stage, unique_up_to_axes
from mmdpo.points.status import is_done
from mmdpo.slurm import client as slurm
from mmdpo.slurm import sbatch
from mmdpo.slurm.resources import check_fits
from mmdpo.slurm.snapshot import snapshot
from mmdpo.slurm.submission import (
    JOBS,
    OF_POINTS,
    PREPARE,
    TASKS,
    Submission,
    Task,
    changed_cluster,
    submissions,
)
from mmdpo.slurm.submit import (
    Plan,
    check_unchanged,
    locked,
    new_submission,
    plan,
    reconcile,
    send,
    shared_tasks,
)
from mmdpo.slurm.task_states import Seen, seen, view
from mmdpo.slurm.watch import watch


def launch(configs: Sequence[Config], stage: Stage) -> list[Outcome] | None:
    """Submit what is missing of these points, and of their baselines where they are measured.

    Returns an outcome for each config once its job has ended, then those of baselines that failed; None
    where this process does not wait.
    """
    slurm.require()
    check_fits(configs[0].cluster)
    with contents_remembered():
        asked_points = points_of(configs)
        studies = _by_study(asked_points)
        tasks = {study: wanted(points, stage) for study, points in studies.items()}
        for asked_for in tasks.values():
            require_unchanged([task.point for task in asked_for])
            link_known([task.point for task in asked_for], stage)
    for study, points in studies.items():
        submit(study, tasks[study], [p.config for p in points], configs[0].cluster)
    if not configs[0].cluster.wait:
        for study in studies:
            print_line(come_back(study))
        return None
    ended: dict[Path, Outcome] = {}
    for study, asked_for in tasks.items():
        ends = watch(study, [task.name for task in asked_for])
        if ends is None:
            print_line(f"left alone; the jobs go on. {come_back(study)}")
            return None
        if stage in OF_POINTS:
            _report(study)
        ended |= {task.point.folder: _outcome(task, stage, ends.get(task.name)) for task in asked_for}
    asked = [p.folder for p in asked_points]
    failed = [one for folder, one in ended.items() if one.error and folder not in set(asked)]
    return [*(ended[folder] for folder in asked), *failed]


def resubmit(study: Path, overrides: Sequence[str]) -> int:
    """Submit again what failed or never ran of a study, with its code as it was; returns how many.

    Raises UserError for a study without jobs, and for overrides of anything but the cluster.
    """
    found = submissions(study)
    if not found:
        raise UserError(f"{study} has no jobs on SLURM; type its launch line again, which runs what is missing")
    study = study.absolute()
    tasks = list({task.name: task for submission in found for task in submission.tasks()}.values())
    last = found[-1]
    if not (study / JOBS / last.code).is_dir():
        raise UserError(
            f"the code that {study} was submitted with is gone: {study / JOBS / last.code}. Type its launch "
            "line again with resume=force, which goes on with the code of now"
        )
    before, cluster = changed_cluster(last.cluster, []), changed_cluster(last.cluster, overrides)
    if cluster.processes != before.processes and any(task.role == Role.trained.value for task in tasks):
        raise UserError(
            f"{cluster.processes} processes a point instead of {before.processes} train on other batches: "
            "those are other points. Type the launch line again with these settings"
        )
    check_fits(cluster)
    reading = {json.dumps([task.config["data"], task.config["model"]]): task for task in tasks}
    configs = [task.point.config for task in reading.values()]
    if not Path(last.cwd).is_dir():
        raise UserError(
            f"{study} was submitted from {last.cwd}, which is gone, and its paths may lie there. Type its "
            "launch line again"
        )
    with contextlib.chdir(last.cwd):
        return len(submit(study, tasks, configs, cluster, last.code).missing)


def submit(
    study: Path,
    tasks: Sequence[Task],
    configs: Sequence[Config],
    cluster: ClusterConfig,
    code: str | None = None,
) -> Plan:
    """Say where the tasks stand, and give SLURM those that are neither done nor on their way.

    The jobs run the code as it is now, or a snapshot of it that was made before.
    """
    with locked(study):
        found = reconcile(study)
        check_unchanged(found, configs, code)
        planned = plan(study, tasks, slurm.patiently(seen)(found))
        print_line(planned.line())
        if not planned.missing:
            return planned
        print_line(hours(planned, cluster))
        shared = shared_tasks(planned.missing, found)
        code = code or snapshot(study / JOBS)
        count, largest = len(planned.missing), slurm.largest_array()
        submission = new_submission(study, cluster, configs, code, count, bool(shared), largest)
        submission.cluster_name = slurm.patiently(slurm.settings)().get("ClusterName", "")
        submission.write_tasks(TASKS, planned.missing)
        submission.write_tasks(PREPARE, shared)
        submission.save()
        send(submission, cluster)
        ids = ", ".join(f"{part.job} ({part.kind}, {part.count})" for part in submission.parts)
        print_line(f"submitted: {ids}; manifest: {submission.folder}")
    return planned


def preview(configs: Sequence[Config], stage: Stage) -> None:
    """Say what `launch` would submit, with the text that sbatch would get."""
    cluster, complaint = configs[0].cluster, slurm.complaint()
    if not complaint:
        check_fits(cluster)
    for study, points in _by_study(points_of(configs)).items():
        found = submissions(study)
        tasks = wanted(points, stage)
        if stage is Stage.experiment:
            for folder, target in known_elsewhere(_open(task.point for task in tasks)).items():
                print_line(f"{folder}: known from {target.parent.name}, would be linked")
        planned = plan(study, tasks, view(found, None) if complaint else seen(found))
        print_line(planned.line())
        if not planned.missing:
            continue
        print_line(hours(planned, cluster))
        shared = shared_tasks(planned.missing, found)
        count = len(planned.missing)
        largest = count if complaint else slurm.largest_array()
        submission = new_submission(study, cluster, configs, "code-...", count, bool(shared), largest)
        for text in distinct_scripts(submission, cluster):
            print_line(text)
            if not complaint and (words := sbatch.refused(text)):
                print_line(f"SLURM would not take this now: {words}")
        if complaint:
            print_line(f"SLURM has not checked this: {complaint}")


def distinct_scripts(submission: Submission, cluster: ClusterConfig) -> list[str]:
    """The script of each kind of part."""
    kinds = {part.kind: part for part in reversed(submission.parts)}
    return [sbatch.script(submission, part, cluster) for part in reversed(kinds.values())]


def wanted(points: Sequence[Point], stage: Stage) -> list[Task]:
    """The tasks of a line, each once: the baselines of points that are measured come first.

    Raises UserError for points that have no such stage, or not yet.
    """
    if stage is Stage.export:
        raise UserError("stage=export needs no cluster: type cluster=local")
    for p in points:
        require_stage(p, stage)
    if stage is not Stage.experiment:
        return list({task.name: task for task in (Task.of(p, stage) for p in points)}.values())
    extra = [base for config in unique_up_to_axes(p.config for p in points) for base in baselines(config)]
    return [Task.of(p, stage) for p in {p.name: p for p in [*extra, *points]}.values()]


def hours(planned: Plan, cluster: ClusterConfig) -> str:
    """What the missing tasks will take, by the user's word or by what the study's points have taken."""
    jobs, gpus = len(planned.missing), cluster.nodes * cluster.gpus_per_node
    unit = f"{jobs} jobs x {gpus} GPUs" if gpus else f"{jobs} jobs without GPUs"
    each, source = cluster.minutes_per_point, "cluster.minutes_per_point"
    if each is None:
        results = [planned.study / name / "result.json" for name in planned.done]
        seconds = [read_json(path)["seconds"] for path in results if path.exists()]
        if not seconds:
            most = jobs * max(gpus, 1) * cluster.timeout_min / 60
            kind = "GPU-hours" if gpus else "hours"
            return f"{unit}: at most {most:.0f} {kind} by the time limit; cluster.minutes_per_point= estimates"
        each, source = statistics.median(seconds) / 60, f"median of {len(seconds)} points"
    total = jobs * max(gpus, 1) * each / 60
    return f"{unit} x {each:.1f} min ({source}): {total:.1f} {'GPU-hours' if gpus else 'hours'}"


def come_back(study: Path) -> str:
    """How to look at a study's jobs later."""
    return f"next: python -m mmdpo status {study}  (logs, retry and cancel take the same word)"


def link_known(points: Sequence[Point], stage: Stage) -> None:
    """Link the points that are finished in another study."""
    if stage is not Stage.experiment:
        return
    known = known_elsewhere(_open(points))
    for folder, target in known.items():
        link(folder, target)
    if known:
        studies = ", ".join(sorted({target.parent.name for target in known.values()}))
        print_line(f"{len(known)} points are known from {studies}")


def _open(points: Iterable[Point]) -> list[Point]:
    return [p for p in points if not is_done(p.folder)]


def _by_study(points: Sequence[Point]) -> dict[Path, list[Point]]:
    studies: dict[Path, list[Point]] = {}
    for p in points:
        studies.setdefault(p.study, []).append(p)
    return studies


def _report(study: Path) -> None:
    from mmdpo.analysis.study import finish

    finish(study)


def _outcome(task: Task, stage: Stage, seen: Seen | None) -> Outcome:
    """How a task ended; one that no job has seen was done before, on one machine."""
    if seen is not None and seen.state != "done":
        return Outcome(task.point, error=f"{task.name}: {seen.state}: {seen.detail}")
    return outcome(task.point) if stage in (Stage.experiment, Stage.evaluate) else Outcome(task.point)
