"""A command with cluster=slurm: check, plan, submit, and watch until the jobs end or the user presses Ctrl-C.

Hydra's launchers wait for their jobs, as its maintainers intend. This one returns results to Hydra only if it
waited. With `cluster.wait=false`, or after Ctrl-C, the command ends and its jobs continue.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmdpo.config.choices import Stage
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.points import commands
from mmdpo.points.changes import require_unchanged
from mmdpo.points.contents import contents_remembered
from mmdpo.points.identity import Role
from mmdpo.points.links import link_known
from mmdpo.points.outcome import Outcome, outcome
from mmdpo.points.point import Point, points_of, require_stage
from mmdpo.points.status import State, is_done
from mmdpo.signals import listening
from mmdpo.slurm import client as slurm
from mmdpo.slurm.halving import JudgeRung, next_round
from mmdpo.slurm.judging import Judging, judges_here
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
from mmdpo.slurm.snapshot import take_snapshot
from mmdpo.slurm.submission import (
    DECIDE,
    FORMAT,
    JOBS,
    JUDGE,
    PREPARE,
    TASKS,
    SlurmTask,
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
)
from mmdpo.slurm.task_states import (
    TaskState,
    combine_states,
    invisible_submissions,
    query_jobs,
)
from mmdpo.slurm.watch import watch
from mmdpo.sweep.halving import is_halved


def submit_and_watch(
    configs: Sequence[Config],
    stage: Stage,
    judge_point: Callable[[Point], str | None],
    judge_rung: JudgeRung | None = None,
) -> list[Outcome] | None:
    """Submit what is missing of these points, and of the baselines they are compared with.

    Args:
        configs: The configs of the points.
        stage: The stage to run.
        judge_point: Judge the answers of a point in this process; returns the reason if that failed.
        judge_rung: Judge the answers of a point at a rung in this process (search=halving).

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
        studies = points_by_study(asked_points)
        tasks = {study: tasks_of_points(points, stage) for study, points in studies.items()}
        for requested in tasks.values():
            require_unchanged([task.point for task in requested])
            if is_point_stage(stage):
                link_known([task.point for task in requested])
        for p in asked_points:
            require_stage(p, stage)
    try:
        plans = {study: submit(study, tasks[study], configs[0].cluster, judge_rung) for study in studies}
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
            if is_halved(configs[0], stage) and not decides_in_job(configs[0]):
                print_line("rungs are judged and decided by this command: rerun it when the jobs of a rung have ended")
            if judging:
                judging.raise_if_stopped()
            return None
        for study, requested in tasks.items():
            states = watch(study, [task.name for task in requested], judging)
            while is_halved(configs[0], stage) and continue_halving(study, requested, judge_rung or refuse_to_judge):
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
    found = read_submissions(study.absolute())  # the points' configs name it, and paths may be relative
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
        halved = list(last.tasks(DECIDE))
        return len(submit(study, halved or tasks, cluster, code=last.code).missing)


def submit(
    study: Path,
    tasks: Sequence[SlurmTask],
    cluster: ClusterConfig,
    judge_rung: JudgeRung | None = None,
    code: str | None = None,
) -> SubmissionPlan:
    """Submit what is missing of a command's tasks, or with search=halving its next round.

    Args:
        study: The folder of the study.
        tasks: All tasks of the command, of this study.
        cluster: The settings of `cluster=`.
        judge_rung: Judge the answers of a point at a rung in this process.
        code: The name of an existing snapshot for the jobs to run; None takes a snapshot of the present code.

    Returns:
        The plan that was carried out.
    """
    if not is_halved(tasks[0].typed_config, tasks[0].stage):
        return submit_missing(study, tasks, [task.typed_config for task in tasks], cluster, code)
    return _submit_round(study, tasks, next_round(tasks, judge_rung or refuse_to_judge), cluster, code)


def continue_halving(
    study: Path, tasks: Sequence[SlurmTask], judge_rung: JudgeRung, own: str = "", code: str | None = None
) -> bool:
    """Decide the rungs that are measured, and submit the next round, once its jobs have ended.

    Args:
        study: The folder of the study.
        tasks: All tasks of the command.
        judge_rung: Judge the answers of a point at a rung in this process.
        own: The submission whose jobs have ended, although SLURM may not say so yet.
        code: The name of the snapshot for the jobs to run; None for the present code.

    Returns:
        Whether there are jobs to wait for.
    """
    found = read_submissions(study)
    states = combine_states(found, slurm.retry_while_unreachable(query_jobs)(found))
    round_ = next_round(tasks, judge_rung, states, own)
    if not round_:
        names = {task.name for task in tasks}
        return any(one.live and one.submission.name != own for name, one in states.items() if name in names)
    cluster = changed_cluster(found[-1].cluster, [])
    plan = _submit_round(study, tasks, round_, cluster, code, is_typed=not own)
    return bool(plan.missing or plan.live)


def _submit_round(
    study: Path,
    tasks: Sequence[SlurmTask],
    round_: Sequence[SlurmTask],
    cluster: ClusterConfig,
    code: str | None,
    is_typed: bool = True,
) -> SubmissionPlan:
    if rung := next((task.rung for task in round_ if task.rung is not None), None):
        print_line(f"rung {rung:g}: {len(round_)} points run")
    configs = [task.typed_config for task in tasks]
    return submit_missing(study, round_, configs, cluster, code, tasks, is_typed)


def refuse_to_judge(p: Point, share: float) -> None:
    """Raise UserError: this command asks no judge."""
    raise UserError(f"{p.name}: its answers at rung {share:g} wait to be judged; rerun its launch command")


def submit_missing(
    study: Path,
    tasks: Sequence[SlurmTask],
    configs: Sequence[Config],
    cluster: ClusterConfig,
    code: str | None = None,
    halved: Sequence[SlurmTask] = (),
    is_typed: bool = True,
) -> SubmissionPlan:
    """Print the plan of a study, and submit the tasks that have neither their result nor a live job.

    Args:
        study: The folder of the study.
        tasks: The requested tasks.
        configs: The configs of the tasks.
        cluster: The settings of `cluster=`.
        code: The name of an existing snapshot for the jobs to run; None takes a snapshot of the present code.
        halved: All tasks of a command with search=halving, of which `tasks` are one round.
        is_typed: Whether a user typed this command; it is then noted with the study.

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
        if is_typed:
            commands.begin(study)
        judged = tasks_to_judge(plan, cluster)
        if not plan.missing and not judged:
            return plan
        if plan.missing:
            print_line(f"{limit_line(plan, cluster)}; dry_run=true predicts the hours")
        shared, prepared_by = reuse_preparations(preparation_tasks(tasks_to_train(plan), found), found, jobs)
        code = code or take_snapshot(study / JOBS)
        parts = parts_of_plan(plan, cluster, bool(shared), slurm.max_array_size(), bool(judged))
        submission = new_submission(study, cluster, configs, code, parts, prepared_by)
        controller_config = slurm.retry_while_unreachable(slurm.controller_config)()
        submission.cluster_name = controller_config.get("ClusterName", "")
        submission.write_tasks(TASKS, plan.missing)
        submission.write_tasks(PREPARE, shared)
        submission.write_tasks(JUDGE, judged)
        submission.write_tasks(DECIDE, halved)
        submission.save()
        send_parts(submission, cluster)
        ids = ", ".join(f"{part.job} ({part.kind}, {part.count})" for part in submission.parts)
        print_line(f"submitted: {ids}; manifest: {submission.folder}")
    return plan


def next_hint(study: Path) -> str:
    """Return the command that shows a study's jobs later."""
    return f"next: python -m mmdpo status {study}  (logs, retry and cancel take the same name)"


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
    if state is not None and state.state not in (State.done, State.answered, State.pruned):
        return Outcome(task.point, error=f"{task.name}: {state.state}: {state.detail}")
    return outcome(task.point) if task.stage in (Stage.experiment, Stage.judge) else Outcome(task.point)
