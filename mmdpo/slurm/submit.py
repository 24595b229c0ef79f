"""Planning and submitting: a study's missing tasks go to SLURM as one array, after the data they share."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import SoftFileLock, Timeout

from mmdpo.config.choices import Resume, Stage
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.files import fingerprint, read_json
from mmdpo.locks import SILENT_SECONDS
from mmdpo.points.changes import all_inputs, changed_since
from mmdpo.points.identity import Role
from mmdpo.points.status import State, is_done, read_status
from mmdpo.slurm import client as slurm
from mmdpo.slurm import sbatch
from mmdpo.slurm.job_ids import fill_job_ids, find_job_id
from mmdpo.slurm.snapshot import changed_code, code_files
from mmdpo.slurm.submission import (
    DECIDE,
    JOBS,
    JUDGE,
    LOCK,
    PREPARE,
    SUBMISSION_FILE,
    TASKS,
    Part,
    SlurmTask,
    Submission,
    config_to_dict,
    is_point_stage,
    lock_holder,
    new_submission_folder,
    preparations,
    read_submissions,
    user_name,
)
from mmdpo.slurm.task_states import TaskState, is_finished

LOCK_SECONDS = 60.0
LISTED = 5  # changed files in a message
SUBMISSION_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


@dataclass
class SubmissionPlan:
    """The requested tasks of a study: done, with a live job, and to be submitted."""

    study: Path
    tasks: list[SlurmTask]
    done: list[str]
    live: dict[str, TaskState]
    failed: list[str]  # those to be submitted that were tried before
    missing: list[SlurmTask]  # those to be submitted
    answered: list[SlurmTask] = field(default_factory=list)  # those that a service has to judge

    def line(self) -> str:
        """Return the counts as one line for the terminal."""
        return (
            f"{self.study}: {len(self.tasks)} points: {len(self.done)} done, {len(self.live)} queued or running, "
            f"{len(self.missing)} to submit"
            + (f" ({len(self.failed)} failed before)" if self.failed else "")
            + (f", {len(self.answered)} to judge" if self.answered else "")
        )


def plan_submission(study: Path, tasks: Sequence[SlurmTask], states: Mapping[str, TaskState]) -> SubmissionPlan:
    """Sort tasks by their states.

    Args:
        study: The folder of the study.
        tasks: The requested tasks.
        states: The states of all tasks that were submitted before, by name.

    Returns:
        The plan; tasks that neither have their result nor a live job are to be submitted.

    Raises:
        UserError: A live job runs another stage of one of the points.
    """
    done, live, failed, missing, answered = [], {}, [], [], []
    for task in tasks:
        known = states.get(task.name)
        if known is not None and known.live:
            if known.task.stage not in (task.stage, Stage.experiment):
                raise UserError(
                    f"{task.name}: job {known.job} runs its stage={known.task.stage.value}; rerun the same command "
                    "when that job has ended"
                )
            live[task.name] = known
        elif _is_done(study, task, known):
            if task.stage is Stage.experiment and task.rung is None and not is_done(study / task.name):
                answered.append(task)
            else:
                done.append(task.name)
        else:
            missing.append(task)
            if known is not None:
                failed.append(task.name)
    return SubmissionPlan(study, list(tasks), done, live, failed, missing, answered)


def _is_done(study: Path, task: SlurmTask, known: TaskState | None) -> bool:
    if is_point_stage(task.stage):
        return is_finished(task, study / task.name)
    return known is not None and known.state is State.done


@contextmanager
def lock_submissions(study: Path) -> Iterator[None]:
    """Hold the study's submission lock, on any shared file system, and say who holds it while waiting.

    Raises UserError that names the holder if the lock is not released in time, and for a folder that cannot be
    written.
    """
    path = study / JOBS / LOCK
    lock = SoftFileLock(path)  # breaks the lock of a dead process of this machine
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=min(SILENT_SECONDS, LOCK_SECONDS))
        except Timeout:
            print_line(f"waiting for {lock_holder(study) or 'another process'}, which submits jobs of {study}")
            lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise UserError(
            f"{lock_holder(study) or 'another process'} has been submitting jobs of {study} for {LOCK_SECONDS:.0f} s. "
            f"If that machine or process is gone, delete {path} and rerun the same command"
        ) from error
    except OSError as error:
        raise UserError(
            f"{error.filename or study} cannot be written ({error.strerror}); type out=FOLDER with a folder on a "
            "disk that the nodes share"
        ) from error
    try:
        _remove_unsubmitted(path.parent)
        yield
    finally:
        lock.release()


def _remove_unsubmitted(jobs: Path) -> None:
    """Remove the folders of commands that were killed before they submitted anything; call it with the lock held."""
    for folder in jobs.iterdir():
        if SUBMISSION_NAME.fullmatch(folder.name) and not (folder / SUBMISSION_FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_errors_translated(study: Path) -> Iterator[None]:
    """Translate errors of the disk, such as a full one, to UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or study} cannot be written ({error.strerror}). Make room there, or type out=FOLDER, and "
            "rerun the same command, which finds the jobs that SLURM has accepted"
        ) from error


def recover_job_ids(study: Path) -> list[Submission]:
    """Read a study's submissions and recover the job ids of interrupted commands.

    A part that sbatch did not accept stays without an id, and its points count as not submitted.
    """
    found = read_submissions(study)
    for submission in found:
        if any(part.job is None for part in submission.parts):
            jobs = slurm.retry_while_unreachable(slurm.list_jobs)(submission.user)
            if fill_job_ids(submission, jobs):
                submission.save()
    return found


def check_unchanged(found: Sequence[Submission], configs: Sequence[Config], code: str | None) -> None:
    """Compare the code with that of a study's last submission, and contents with those of all submissions.

    Args:
        found: The submissions of the study, oldest first. Of a content that changed between them, the last counts.
        configs: The configs of the requested points.
        code: The snapshot that the jobs will run; None for the code of this process.

    Raises:
        UserError: Something has changed, and the configs do not have resume=force.
    """
    if not found or any(config.resume is Resume.force for config in configs):
        return
    last = found[-1]
    changed = []
    if code is None:
        files = last.folder.parent / last.code / "files.json"
        changed = changed_code(read_json(files) if files.exists() else {}, code_files())
    submitted = {key: value for one in found for key, value in one.inputs.items()}
    changed += changed_since(submitted, all_inputs(configs))
    if changed:
        more = f" and {len(changed) - LISTED} more" if len(changed) > LISTED else ""
        raise UserError(
            f"{last.study} was started with other code or data. Changed since {last.created}: "
            f"{', '.join(changed[:LISTED])}{more}. Type study=NEW_NAME for a new study, or resume=force to continue "
            "this one"
        )


def preparation_tasks(tasks: Sequence[SlurmTask], found: Sequence[Submission]) -> list[SlurmTask]:
    """Return the tasks that make what points share: training sets and reference log-probs.

    Args:
        tasks: The tasks to be submitted.
        found: The earlier submissions of the study.

    Returns:
        One task per set of shared data that none of the earlier submissions has made.
    """
    shared = {}
    for task in tasks:
        if task.config.get("round", 1) > 1:
            continue  # its data are its own, and depend on the round before
        if task.stage in (Stage.experiment, Stage.train) and task.role == Role.trained.value:
            name = f"shared-{fingerprint(_shared_settings(task.config), length=6)}"
            shared[name] = SlurmTask(name, Stage.reference, task.config)
    made = {
        task.name
        for submission in found
        if submission.user == user_name()  # each user has their own cache
        and read_status(submission.folder / PREPARE).state is State.done
        for task in submission.tasks(PREPARE)
    }
    return [task for name, task in shared.items() if name not in made]


def reuse_preparations(
    shared: Sequence[SlurmTask], found: Sequence[Submission], jobs: Mapping[str, slurm.Job]
) -> tuple[list[SlurmTask], list[str]]:
    """Leave out the tasks that a job of an earlier submission makes at present, or will make.

    Such a job is left by a command that ended before it submitted the points, and by one that submitted other points.

    Args:
        shared: The tasks that make what the points share, from `preparation_tasks`.
        found: The earlier submissions of the study.
        jobs: The user's jobs by id.

    Returns:
        The tasks that are left, and the names of the submissions whose preparation the points have to wait for.
    """
    left = {task.name: task for task in shared}
    reused = []
    for submission in reversed(found):
        ids = [part.job for part in submission.parts if part.kind == PREPARE and part.job]
        if any(job in jobs and jobs[job].live for job in ids) and submission.user == user_name():
            made = [task.name for task in submission.tasks(PREPARE) if task.name in left]
            reused += [submission.name] if made else []
            for name in made:
                del left[name]
    return [*left.values()], reused


def _shared_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings on which the shared data depend, and possibly a few more."""
    groups = ("data", "data_limit", "generator", "judge", "pairs", "model")
    length = [values["train"][name] for name in ("max_text_tokens", "too_long", "prefix_sharing")]
    return {
        **{name: values[name] for name in groups},
        "train_on": values["method"]["train_on"],
        "length": length,
    }


def new_submission(
    study: Path,
    cluster: ClusterConfig,
    configs: Sequence[Config],
    code: str,
    parts: Sequence[Part],
    prepared_by: Sequence[str] = (),
) -> Submission:
    """Make a submission that is not on disk yet.

    Args:
        study: The folder of the study.
        cluster: The settings of `cluster=`.
        configs: The configs of the points; the fingerprints of their contents are recorded.
        code: The name of the snapshot that the jobs run.
        parts: The jobs, from `split_into_parts`.
        prepared_by: The earlier submissions whose preparation the points wait for.

    Returns:
        The submission.
    """
    return Submission(
        new_submission_folder(study),
        code=code,
        cluster=config_to_dict(cluster),
        inputs=all_inputs(configs),
        parts=list(parts),
        prepared_by=list(prepared_by),
    )


def split_into_parts(
    tasks: int, prepare: bool, max_array_size: int, judge: bool = False, points_per_job: int = 1
) -> list[Part]:
    """Split tasks into jobs.

    Args:
        tasks: The number of tasks.
        prepare: Whether a job makes shared data first.
        max_array_size: The largest number of jobs in an array.
        judge: Whether a job judges the answers of all.
        points_per_job: The number of tasks that a job of an array runs in turn.

    Returns:
        The preparation, then the arrays, then the judging.
    """
    largest = max_array_size * points_per_job
    arrays = [
        Part(TASKS, first, min(largest, tasks - first), size=points_per_job) for first in range(0, tasks, largest)
    ]
    return [*([Part(PREPARE)] if prepare else []), *arrays, *([Part(JUDGE)] if judge else [])]


def send_parts(submission: Submission, cluster: ClusterConfig) -> None:
    """Submit the parts of a submission, and record each job id at once.

    Raises UserError with SLURM's own message. If SLURM accepted no points, the submission is removed. If a file cannot
    be written, it is kept: SLURM may have accepted a job.
    """
    for part in submission.parts:
        try:
            part.job = _send_once(submission, part, cluster)
        except UserError as error:
            accepted = sum(one.count for one in submission.parts if one.kind == TASKS and one.job)
            if part.kind in (JUDGE, DECIDE) and accepted:
                raise UserError(
                    f"{error}. The points were submitted, and no job will {part.kind} them; rerun the same command "
                    "when they have ended"
                ) from error
            if accepted:
                missing = sum(one.count for one in submission.parts if one.kind == TASKS) - accepted
                raise UserError(
                    f"{error}. {accepted} points were submitted before; rerun the same command to submit the other "
                    f"{missing}"
                ) from error
            slurm.cancel_jobs([one.job for one in submission.parts if one.job])
            shutil.rmtree(submission.folder)
            raise
        submission.save()


def _send_once(submission: Submission, part: Part, cluster: ClusterConfig) -> str:
    """Submit a part once, even if sbatch's answer is lost, and return its job id."""
    text = sbatch.script_text(submission, part, cluster, dependency_of(submission, part, cluster))
    tries = itertools.count()

    @slurm.retry_while_unreachable
    def send() -> str:
        known = find_job_id(submission, part, slurm.list_jobs(submission.user)) if next(tries) else None
        return known or sbatch.submit_script(submission.folder, text)

    return send()


def dependency_of(submission: Submission, part: Part, cluster: ClusterConfig) -> str | None:
    """Return the --dependency of a part.

    Args:
        submission: The submission that the part belongs to.
        part: The job or array to submit.
        cluster: The settings of `cluster=`. With array_parallelism, arrays run one after another, so that the
            limit holds for all of them.

    Returns:
        A value such as afterok:12,afterany:13; None for a part that waits for no other.
    """
    if part.kind == PREPARE:
        return None
    if part.kind in (JUDGE, DECIDE):
        return ",".join(f"afterany:{one.job}" for one in submission.parts if one.kind == TASKS and one.job) or None
    index = submission.parts.index(part)
    prepared = [f"afterok:{one.job}" for _, one in preparations(submission) if one.job]
    before = submission.parts[index - 1] if index else None
    in_turn = [f"afterany:{before.job}"] if before and before.kind == TASKS and cluster.array_parallelism else []
    return ",".join([*prepared, *in_turn]) or None
