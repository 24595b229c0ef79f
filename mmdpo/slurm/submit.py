"""From points to jobs: what is missing of a study goes to SLURM as one array, after what its points share."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import SoftFileLock, Timeout

from mmdpo.config.choices import Resume, Stage
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.errors import UserError
from mmdpo.files import fingerprint, read_json
from mmdpo.points import status
from mmdpo.points.point import Role, unique_up_to_axes
from mmdpo.slurm import client as slurm
from mmdpo.slurm import sbatch
from mmdpo.slurm.snapshot import UNKNOWN, changed_code, code_files, inputs
from mmdpo.slurm.submission import (
    JOBS,
    PREPARE,
    TASKS,
    Part,
    Submission,
    Task,
    comment,
    new_folder,
    own_name,
    plain,
    submissions,
)
from mmdpo.slurm.task_states import Seen

LOCK_SECONDS = 60.0


@dataclass
class Plan:
    """What is asked of a study and where it stands: what is done, on its way, and to be submitted."""

    study: Path
    tasks: list[Task]
    done: list[str]
    live: dict[str, Seen]
    failed: list[str]  # of those to be submitted, the ones that were tried before
    missing: list[Task]

    def line(self) -> str:
        """In one line."""
        return (
            f"{self.study}: {len(self.tasks)} points: {len(self.done)} done, {len(self.live)} on their way, "
            f"{len(self.missing)} to submit" + (f" ({len(self.failed)} failed before)" if self.failed else "")
        )


def plan(study: Path, tasks: Sequence[Task], seen: dict[str, Seen]) -> Plan:
    """Sort tasks by what the study's files and jobs say of them.

    Raises UserError where a job is at another stage of one.
    """
    done, live, failed, missing = [], {}, [], []
    for task in tasks:
        known = seen.get(task.name)
        if known is not None and known.live:
            if known.task.stage not in (task.stage, Stage.experiment):
                raise UserError(
                    f"{task.name}: job {known.job} is at its stage={known.task.stage.value}; type the line "
                    "again when that has ended"
                )
            live[task.name] = known
        elif _is_done(study, task, known):
            done.append(task.name)
        else:
            missing.append(task)
            if known is not None:
                failed.append(task.name)
    return Plan(study, list(tasks), done, live, failed, missing)


def _is_done(study: Path, task: Task, known: Seen | None) -> bool:
    if task.stage in (Stage.experiment, Stage.evaluate):
        return status.is_done(study / task.name)
    if task.stage is Stage.train:
        return (study / task.name / "training.json").exists()
    return known is not None and known.state == "done"


@contextmanager
def locked(study: Path) -> Iterator[None]:
    """Alone with a study's submissions, on any shared file system.

    Raises UserError naming the holder where it does not let go, and for a folder that cannot be written.
    """
    path = study / JOBS / ".lock"
    lock = SoftFileLock(path, timeout=LOCK_SECONDS)  # the lock of a dead process of this machine is broken
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        pid, host = [*path.read_text(encoding="utf-8").split(), "?", "?"][:2]
        raise UserError(
            f"process {pid} on {host} has been submitting jobs of {study} for {LOCK_SECONDS:.0f} s. If that "
            f"machine or process is gone, delete {path} and type the line again"
        ) from error
    except OSError as error:
        raise UserError(
            f"{error.filename or study} cannot be written ({error.strerror}); type out=FOLDER on a disk that "
            "the nodes share"
        ) from error
    try:
        yield
    finally:
        lock.release()


def reconcile(study: Path) -> list[Submission]:
    """A study's submissions, with the job ids that a launcher was killed before noting.

    A part that sbatch never got stays without an id, and its points count as not submitted.
    """
    found = submissions(study)
    for submission in found:
        parts = [part for part in submission.parts if part.job is None]
        if parts:
            jobs = slurm.patiently(slurm.jobs)(submission.user)
            for part in parts:
                part.job = unnoted(submission, part, jobs)
            submission.save()
    return found


def unnoted(submission: Submission, part: Part, jobs: Mapping[str, slurm.Job]) -> str | None:
    """SLURM's id of a part that sbatch got: by the comment in the queue, or by what the job itself wrote."""
    own = comment(submission, part)
    queued = (job.id.partition("_")[0] for job in jobs.values() if job.comment == own)
    note = submission.folder / f"{part.kind}-{part.first}.job"
    return next(queued, None) or (note.read_text(encoding="utf-8").strip() if note.exists() else None)


def check_unchanged(found: Sequence[Submission], configs: Sequence[Config], code: str | None) -> None:
    """Raise UserError where a study's earlier points were made with other data, or with other code than now.

    `code` is a snapshot that the jobs will run instead of the code of now.
    """
    if not found or any(config.resume is Resume.force for config in configs):
        return
    last = found[-1]
    changed = []
    if code is None:
        files = last.folder.parent / last.code / "files.json"
        changed = changed_code(read_json(files) if files.exists() else {}, code_files())
    now = all_inputs(configs)
    changed += [
        f"{name} (its content)"
        for name, value in last.inputs.items()
        if UNKNOWN not in (value, now.get(name)) and now.get(name, value) != value
    ]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise UserError(
            f"{last.study} was begun with other code or data; changed since {last.created}: "
            f"{', '.join(changed[:5])}{more}. Type study=NEW_NAME for a study of its own, or its line "
            "with resume=force to go on here"
        )


def all_inputs(configs: Sequence[Config]) -> dict[str, str]:
    """Fingerprints of what all configs read."""
    return {key: value for config in unique_up_to_axes(configs) for key, value in inputs(config).items()}


def shared_tasks(tasks: Sequence[Task], found: Sequence[Submission]) -> list[Task]:
    """What points share and no earlier submission has made: training sets and reference log-probs."""
    shared = {}
    for task in tasks:
        if task.stage in (Stage.experiment, Stage.train) and task.role == Role.trained.value:
            name = f"shared-{fingerprint(_shared(task.config), length=6)}"
            shared[name] = Task(name, Stage.reference, task.config)
    made = {
        task.name
        for submission in found
        if submission.user == own_name()  # each user has a cache
        and status.read_status(submission.folder / PREPARE).state is status.State.done
        for task in submission.tasks(PREPARE)
    }
    return [task for name, task in shared.items() if name not in made]


def _shared(values: dict[str, Any]) -> dict[str, Any]:
    """The settings that what points share depends on; perhaps a few more."""
    kept = ("data", "data_limit", "generator", "judge", "pairs", "model")
    length = [values["train"][name] for name in ("max_text_tokens", "too_long", "prefix_sharing")]
    return {
        **{name: values[name] for name in kept},
        "train_on": values["method"]["train_on"],
        "length": length,
    }


def new_submission(
    study: Path,
    cluster: ClusterConfig,
    configs: Sequence[Config],
    code: str,
    tasks: int,
    prepare: bool,
    largest: int,
) -> Submission:
    """A submission of so many tasks, in arrays of at most `largest`, not on disk yet."""
    return Submission(
        new_folder(study),
        code=code,
        cluster=plain(cluster),
        inputs=all_inputs(configs),
        parts=parts(tasks, prepare, largest),
    )


def parts(tasks: int, prepare: bool, largest: int) -> list[Part]:
    """The jobs of so many tasks: the preparation, then arrays of at most `largest`."""
    arrays = [Part(TASKS, first, min(largest, tasks - first)) for first in range(0, tasks, largest)]
    return [*([Part(PREPARE)] if prepare else []), *arrays]


def send(submission: Submission, cluster: ClusterConfig) -> None:
    """Give the parts of a submission to SLURM, noting each id as it comes.

    Raises UserError with SLURM's own words. Where no point was taken, nothing of the submission is left.
    """
    for part in submission.parts:
        try:
            part.job = _sent(submission, part, cluster)
        except UserError as error:
            taken = sum(one.count for one in submission.parts if one.kind == TASKS and one.job)
            if taken:
                missing = sum(one.count for one in submission.parts if one.kind == TASKS) - taken
                more = f"{taken} points were submitted before; the same line submits the other {missing}"
                raise UserError(f"{error}. {more}") from error
            slurm.cancel([one.job for one in submission.parts if one.job])
            shutil.rmtree(submission.folder)
            raise
        submission.save()


def _sent(submission: Submission, part: Part, cluster: ClusterConfig) -> str:
    """SLURM's id of a part, which is submitted once although sbatch's answer may get lost."""
    text = sbatch.script(submission, part, cluster, dependency(submission, part, cluster))
    tries = itertools.count()

    @slurm.patiently
    def sent() -> str:
        known = unnoted(submission, part, slurm.jobs(submission.user)) if next(tries) else None
        return known or sbatch.submit(submission.folder, text)

    return sent()


def dependency(submission: Submission, part: Part, cluster: ClusterConfig) -> str | None:
    """What a part waits for: the preparation and, where `parallel` limits all, the array before it."""
    if part.kind == PREPARE:
        return None
    place = submission.parts.index(part)
    prepared = [f"afterok:{one.job}" for one in submission.parts[:place] if one.kind == PREPARE]
    before = submission.parts[place - 1] if place else None
    in_turn = [f"afterany:{before.job}"] if before and before.kind == TASKS and cluster.array_parallelism else []
    return ",".join([*prepared, *in_turn]) or None
