"""A command with cluster=slurm: check, plan, submit, and watch until the jobs end or the user presses Ctrl-C.

Hydra's launchers wait for their jobs, as its maintainers intend. This one returns results to Hydra only if it
waited. With `cluster.wait=false`, or after Ctrl-C, the command ends and its jobs continue.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmdpo.config.choices import JudgePlace, Stage
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.points import commands
from mmdpo.points.changes import require_unchanged
from mmdpo.points.contents import contents_remembered
from mmdpo.points.identity import Role
from mmdpo.points.links import known_elsewhere, link_known
from mmdpo.points.outcome import Outcome, outcome
from mmdpo.points.point import Point, baselines, points_of, require_stage, training_to_take, unique_up_to_axes
from mmdpo.points.status import State, is_done
from mmdpo.signals import listening
from mmdpo.slurm import client as slurm
from mmdpo.slurm import sbatch
from mmdpo.slurm.judging import Judging, judges_here
from mmdpo.slurm.paths import require_usable
from mmdpo.slurm.resources import check_fits
from mmdpo.slurm.snapshot import take_snapshot
from mmdpo.slurm.submission import (
    FORMAT,
    JOBS,
    JUDGE,
    PREPARE,
    TASKS,
    SlurmTask,
    Submission,
    changed_cluster,
    is_point_stage,
    read_submissions,
)
from mmdpo.slurm.submit import (
    SubmissionPlan,
    check_unchanged,
    disk_errors_translated,
    lock_submissions,
    new_submission,
    plan_submission,
    preparation_tasks,
    recover_job_ids,
    reuse_preparations,
    send_parts,
    split_into_parts,
)
from mmdpo.slurm.task_states import (
    TaskState,
    combine_states,
    invisible_submissions,
    is_task_judged_apart,
    query_jobs,
)
from mmdpo.slurm.watch import watch
from mmdpo.sweep.hours import hours_lines


def submit_and_watch(
    configs: Sequence[Config], stage: Stage, judge_point: Callable[[Point], str | None]
) -> list[Outcome] | None:
    """Submit what is missing of these points, and of the baselines they are compared with.

    Args:
        configs: The configs of the points.
        stage: The stage to run.
        judge_point: Judge the answers of a point in this process; returns the reason if that failed.

    Returns:
        An outcome for each config when its job has ended, then those of baselines that failed; None if this process
        does not wait, or after Ctrl-C while jobs are queued or running.

    Raises:
        Stopped: A limit of the judge ended the judging, or batch jobs have no replies yet.
    """
    slurm.require_installed()
    for config in configs:
        require_usable(Path(config.out, config.study))
    check_fits(configs[0].cluster)
    with contents_remembered():
        asked_points = points_of(configs)
        studies = _points_by_study(asked_points)
        tasks = {study: tasks_of_points(points, stage) for study, points in studies.items()}
        for requested in tasks.values():
            require_unchanged([task.point for task in requested])
            if is_point_stage(stage):
                link_known([task.point for task in requested])
        for p in asked_points:
            require_stage(p, stage)
    try:
        plans = {
            study: submit_missing(study, tasks[study], [p.config for p in points], configs[0].cluster)
            for study, points in studies.items()
        }
    except KeyboardInterrupt:
        print_line("interrupted while submitting; jobs that SLURM has accepted continue")
        raise
    judging = Judging(judge_point) if judges_here(configs[0], stage) else None
    ended: dict[Path, Outcome] = {}
    waiting = [study for study, plan in plans.items() if plan.missing or plan.live]
    try:
        if judging:
            with listening():
                judging.judge(task.point for plan in plans.values() for task in plan.answered)
        if not configs[0].cluster.wait:
            _print_hints(studies, configs[0])
            if judging:
                judging.raise_if_stopped()
            return None
        for study, requested in tasks.items():
            states = watch(study, [task.name for task in requested], judging)
            waiting = [one for one in waiting if one != study]
            if is_point_stage(stage):
                _finish(study, configs[0])
            ended |= {task.point.work_folder: _outcome(task, states.get(task.name)) for task in requested}
    except KeyboardInterrupt:
        if not waiting:
            raise
        print_line("stopped waiting; the jobs continue")
        _print_hints(waiting, configs[0])
        return None
    if judging:
        judging.raise_if_stopped()
    asked = [p.work_folder for p in asked_points]
    failed = [one for folder, one in ended.items() if one.error and folder not in set(asked)]
    return [*(ended[folder] for folder in asked), *failed]


def resubmit(study: Path, overrides: Sequence[str]) -> int:
    """Submit again what failed or never ran of a study, with the code of its last submission.

    Args:
        study: The folder of the study.
        overrides: Changes to settings of the cluster, such as cluster.mem=64G.

    Returns:
        The number of submitted points.

    Raises:
        UserError: The study has no jobs, was submitted by an older version, or has lost its code or working
            directory; or the overrides change more than the cluster.
    """
    found = read_submissions(study)
    if not found:
        raise UserError(f"{study} has no jobs on SLURM; rerun its launch command, which runs what is missing")
    study = study.absolute()
    last = found[-1]
    if last.format != FORMAT:
        launched = [one.command for one in found if Path(one.command[0]).name == "launch.py"]  # not by retry
        raise UserError(
            f"{study} was submitted by another version of mmdpo, with other settings and code, so its points cannot "
            "be submitted again. Rerun its launch command with study=NEW_NAME, or with resume=force to continue it: "
            f"{shlex.join(['python', *(launched or [last.command])[-1]])}"
        )
    submitted = [submission for submission in found if submission.format == FORMAT]
    tasks = list({task.name: task for submission in submitted for task in submission.tasks()}.values())
    if not (study / JOBS / last.code).is_dir():
        raise UserError(
            f"the code that {study} was submitted with is gone: {study / JOBS / last.code}. Rerun its launch "
            "command with resume=force, which continues with the present code"
        )
    before, cluster = changed_cluster(last.cluster, []), changed_cluster(last.cluster, overrides)
    if cluster.processes != before.processes and any(task.role == Role.trained.value for task in tasks):
        raise UserError(
            f"{cluster.processes} processes per point instead of {before.processes} change the batches of a training, "
            "so these are other points. Rerun the launch command with these settings"
        )
    check_fits(cluster)
    if not Path(last.cwd).is_dir():
        raise UserError(
            f"{study} was submitted from {last.cwd}, which is gone, and its relative paths start there. Rerun its "
            "launch command"
        )
    with contextlib.chdir(last.cwd):
        configs = [task.typed_config for task in tasks]
        return len(submit_missing(study, tasks, configs, cluster, last.code).missing)


def submit_missing(
    study: Path,
    tasks: Sequence[SlurmTask],
    configs: Sequence[Config],
    cluster: ClusterConfig,
    code: str | None = None,
) -> SubmissionPlan:
    """Print the plan of a study, and submit the tasks that have neither their result nor a live job.

    Args:
        study: The folder of the study.
        tasks: The requested tasks.
        configs: The configs of the tasks.
        cluster: The settings of `cluster=`.
        code: The name of an existing snapshot for the jobs to run; None takes a snapshot of the present code.

    Returns:
        The plan that was carried out.
    """
    require_usable(study)
    with lock_submissions(study), disk_errors_translated(study):
        found = recover_job_ids(study)
        check_unchanged(found, configs, code)
        jobs = slurm.retry_while_unreachable(query_jobs)(found)
        states = combine_states(found, jobs, slurm.retry_while_unreachable(invisible_submissions)(found))
        plan = plan_submission(study, tasks, states)
        print_line(plan.line())
        commands.begin(study)
        to_judge = _to_judge(plan, cluster)
        if not plan.missing and not to_judge:
            return plan
        for line in estimate_hours(plan, cluster) if plan.missing else ():
            print_line(line)
        shared, prepared_by = reuse_preparations(preparation_tasks(_to_train(plan), found), found, jobs)
        code = code or take_snapshot(study / JOBS)
        parts = split_into_parts(len(plan.missing), bool(shared), slurm.max_array_size(), bool(to_judge))
        submission = new_submission(study, cluster, configs, code, parts, prepared_by)
        controller_config = slurm.retry_while_unreachable(slurm.controller_config)()
        submission.cluster_name = controller_config.get("ClusterName", "")
        submission.write_tasks(TASKS, plan.missing)
        submission.write_tasks(PREPARE, shared)
        submission.write_tasks(JUDGE, to_judge)
        submission.save()
        send_parts(submission, cluster)
        ids = ", ".join(f"{part.job} ({part.kind}, {part.count})" for part in submission.parts)
        print_line(f"submitted: {ids}; manifest: {submission.folder}")
    return plan


def _to_judge(plan: SubmissionPlan, cluster: ClusterConfig) -> list[SlurmTask]:
    """Return the tasks that a job of its own will judge: those that are answered, and those to be submitted."""
    candidates = [*plan.answered, *plan.missing] if cluster.judge is JudgePlace.job else []
    return [task for task in candidates if task.stage is Stage.experiment and is_task_judged_apart(task)]


def preview(configs: Sequence[Config], stage: Stage) -> None:
    """Print what `launch` would submit, with the scripts for sbatch."""
    cluster, unavailable = configs[0].cluster, slurm.unavailable_reason()
    if not unavailable:
        check_fits(cluster)
    with contents_remembered():
        for study, points in _points_by_study(points_of(configs)).items():
            _preview_study(study, points, stage, unavailable)


def _preview_study(study: Path, points: Sequence[Point], stage: Stage, unavailable: str) -> None:
    configs = [p.config for p in points]
    cluster = configs[0].cluster
    require_usable(study)
    found = read_submissions(study)
    check_unchanged(found, configs, None)
    tasks = tasks_of_points(points, stage)
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
    to_judge = _to_judge(plan, cluster)
    if not plan.missing and not to_judge:
        return
    for line in estimate_hours(plan, cluster) if plan.missing else ():
        print_line(line)
    count = len(plan.missing)
    shared, prepared_by = reuse_preparations(preparation_tasks(_to_train(plan), found), found, jobs or {})
    largest = max(count, 1) if unavailable else slurm.max_array_size()
    parts = split_into_parts(count, bool(shared), largest, bool(to_judge))
    submission = new_submission(study, cluster, configs, "code-...", parts, prepared_by)
    for text in distinct_scripts(submission, cluster):
        print_line(text)
        if not unavailable and (reason := sbatch.rejection_reason(text)):
            print_line(f"SLURM would reject this at the moment: {reason}")
    if unavailable:
        print_line(f"SLURM has not checked this: {unavailable}")


def _to_train(plan: SubmissionPlan) -> list[SlurmTask]:
    """Return the missing tasks without those whose training another point has; print how many these are."""
    with contents_remembered():
        known = {task.name: source for task in plan.missing if task.role and (source := training_to_take(task.point))}
    if known:
        places = ", ".join(sorted({source.parent.name for source in known.values()}))
        print_line(f"{len(known)} trainings are known from points of {places} and are not repeated")
    return [task for task in plan.missing if task.name not in known]


def distinct_scripts(submission: Submission, cluster: ClusterConfig) -> list[str]:
    """Return one script for each kind of part."""
    kinds = {part.kind: part for part in reversed(submission.parts)}
    return [sbatch.script_text(submission, part, cluster) for part in reversed(kinds.values())]


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


def estimate_hours(plan: SubmissionPlan, cluster: ClusterConfig) -> list[str]:
    """Describe the hours of the missing tasks, by cluster.minutes_per_point or by measured speeds.

    Args:
        plan: The tasks of a study.
        cluster: The settings of `cluster=`.

    Returns:
        Lines for the terminal.
    """
    jobs, gpus = len(plan.missing), cluster.nodes * cluster.gpus_per_node
    kind = "GPU-hours" if gpus else "hours"
    unit = f"{jobs} points x {gpus} GPUs" if gpus else f"{jobs} points without GPUs"
    if cluster.minutes_per_point is not None:
        total = jobs * max(gpus, 1) * cluster.minutes_per_point / 60
        minutes = f"{cluster.minutes_per_point:.1f} min (cluster.minutes_per_point)"
        return [f"{unit} x {minutes}: {total:.1f} {kind}"]
    limit = jobs * max(gpus, 1) * cluster.timeout_min / 60
    most = f"{unit}: at most {limit:.0f} {kind} if each is done within one time limit"
    points = [task.point for task in plan.missing if task.role]
    stage = plan.missing[0].stage
    return [most, *hours_lines(points, stage, [[p] for p in points])]


def next_hint(study: Path) -> str:
    """Return the command that shows a study's jobs later."""
    return f"next: python -m mmdpo status {study}  (logs, retry and cancel take the same name)"


def _points_by_study(points: Sequence[Point]) -> dict[Path, list[Point]]:
    studies: dict[Path, list[Point]] = {}
    for p in points:
        studies.setdefault(p.study, []).append(p)
    return studies


def _print_hints(studies: Iterable[Path], config: Config) -> None:
    from mmdpo.dashboard.publish import publish_hint

    for study in studies:
        print_line(f"{next_hint(study)}{publish_hint(study, config.tracking)}")


def _finish(study: Path, config: Config) -> None:
    from mmdpo.analysis.report import write_report
    from mmdpo.dashboard.publish import publish_after_sweep

    write_report(study)
    publish_after_sweep(study, config.tracking)


def _outcome(task: SlurmTask, state: TaskState | None) -> Outcome:
    """Return the outcome of a task; one without a state was finished on one machine, without a job."""
    if state is not None and state.state is State.answered and not is_done(task.point.folder):
        reason = state.status.error or state.detail
        return Outcome(task.point, error=f"{task.name}: answered and not judged ({reason}); rerun the same command")
    if state is not None and state.state not in (State.done, State.answered):
        return Outcome(task.point, error=f"{task.name}: {state.state}: {state.detail}")
    return outcome(task.point) if task.stage in (Stage.experiment, Stage.judge) else Outcome(task.point)
