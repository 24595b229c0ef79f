"""A submission: the tasks that one command gave to SLURM, on disk beside the study before any job can start.

STUDY/jobs/20261124-021500-1a2b/
  submission.json   user, time, working directory, code and jobs
  prepare.jsonl     the data that the points share, one task per line
  tasks.jsonl       the points, one task per line: name, role, stage and resolved config
  decide.jsonl      all points of a command with search=halving, one task per line; a job decides which go on
  judge.jsonl       the points that a job judges when they are answered (cluster.judge=job)
  prepare/ STAGE/   status and logs of tasks that are not points; those of a point are in its own folder
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import pwd
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from mmdpo.config.choices import SHARED_STAGES, Stage
from mmdpo.config.cluster_checks import problems
from mmdpo.config.group_aliases import with_judge_group
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.config.shard import Shard, parse_shard
from mmdpo.errors import UserError
from mmdpo.files import atomic_write, fingerprint, open_regular, read_json, write_json
from mmdpo.points.point import Point, Role, point

JOBS = "jobs"
LOCK = ".lock"
SUBMISSION_FILE = "submission.json"
PREPARE, TASKS, DECIDE, JUDGE = "prepare", "tasks", "decide", "judge"

FORMAT = 2
"""The version of the files in a submission's folder; it changes with the keys of the config.

Submissions without a version (1) have keys such as cluster.gpus and train.epochs. Their states and logs can be
read and their jobs cancelled, but they cannot be submitted again.
"""


def is_point_stage(stage: Stage) -> bool:
    """Return whether a stage works in a point's folder; the other stages make data that points share."""
    return stage not in SHARED_STAGES


@dataclass(frozen=True)
class SlurmTask:
    """A stage of a point, or a stage that makes data; the work of one job."""

    name: str
    stage: Stage
    config: dict[str, Any]  # resolved; enums by name
    role: str | None = None  # of a point
    rung: float | None = None  # the share of its training that a point is trained to and measured at; None for all
    cached_point: Point | None = field(default=None, compare=False, repr=False)  # not written to disk

    @classmethod
    def of(cls, p: Point, stage: Stage, rung: float | None = None) -> SlurmTask:
        """Make the task of a point's stage, or of a stage that makes data from the point's config.

        Args:
            p: The point.
            stage: The stage.
            rung: The share of the training to stop at; None for its end.
        """
        config = config_to_dict(p.config)
        if is_point_stage(stage):
            return cls(p.work_name, stage, config, p.role.value, rung, cached_point=p)
        return cls(f"{stage.value}-{fingerprint(config, length=6)}", stage, config)

    @property
    def point(self) -> Point:
        """The point that the task belongs to."""
        if self.cached_point is not None:
            return self.cached_point
        config = self.typed_config
        return Point(config, Role(self.role), self.name.partition("/")[0]) if self.role else point(config)

    @property
    def shard(self) -> Shard | None:
        """The share of the point's samples that is answered; None for all of them."""
        return parse_shard((self.config.get("bench") or {}).get("shard"))

    @property
    def typed_config(self) -> Config:
        """The config of the point; no file that it names is read. Raises UserError for keys of another version."""
        return self.cached_point.config if self.cached_point is not None else config_from_dict(self.config)


@dataclass
class Part:
    """One job, or one array of jobs, of a submission."""

    kind: str  # TASKS: an array; the others: one job for all lines of their file
    first: int = 0  # the first of its lines
    count: int = 1  # lines
    job: str | None = None  # SLURM's id; None until sbatch has answered
    size: int = 1  # TASKS: lines per job of the array (cluster.points_per_job); the last job may have fewer

    @property
    def jobs(self) -> int:
        """The number of jobs in the array."""
        return math.ceil(self.count / self.size)

    def ids(self) -> list[str | None]:
        """Return the id of the job of each line, in the order of the lines; None until sbatch has answered."""
        if self.kind != TASKS:
            return [self.job]
        return [self.job and f"{self.job}_{index // self.size}" for index in range(self.count)]


def user_name() -> str:
    """Return the user's name in the system's database, which SLURM uses too; the user id if they have none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@dataclass
class Submission:
    """The content of submission.json and the folder that holds it."""

    folder: Path
    code: str  # name of the code's snapshot, a folder beside this one
    cluster: dict[str, Any]  # the settings of `cluster=`
    inputs: dict[str, str]  # fingerprints of the contents behind paths, by `points.changes.all_inputs`
    parts: list[Part] = field(default_factory=list)
    prepared_by: list[str] = field(default_factory=list)  # earlier submissions whose preparation the points wait for
    user: str = field(default_factory=user_name)
    cluster_name: str = ""  # SLURM's ClusterName, to which the job ids belong
    host: str = field(default_factory=socket.gethostname)
    cwd: str = field(default_factory=os.getcwd)
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    python: str = sys.executable
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format: int = FORMAT

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def study(self) -> Path:
        """The folder of the study."""
        return self.folder.parent.parent

    def save(self) -> None:
        """Write submission.json atomically."""
        write_json(self.folder / SUBMISSION_FILE, {**dataclasses.asdict(self), "folder": str(self.folder)})

    def tasks(self, kind: str = TASKS) -> Iterator[SlurmTask]:
        """Read the tasks of one file in their order. Raises UserError for a damaged file."""
        path = self.folder / f"{kind}.jsonl"
        if path.exists():
            try:
                with open_regular(path) as lines:
                    tasks = [*map(self._task, lines)]
            except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                raise UserError(_damaged(path, error)) from error
            yield from tasks

    def task(self, part: Part, index: int) -> SlurmTask:
        """Read the first task of a job of an array."""
        return self.group(part, index)[0]

    def group(self, part: Part, index: int) -> list[SlurmTask]:
        """Read the tasks of a job of an array, in their order."""
        first, end = index * part.size, min((index + 1) * part.size, part.count)
        with (self.folder / f"{part.kind}.jsonl").open(encoding="utf-8") as lines:
            return [self._task(line) for line in itertools.islice(lines, part.first + first, part.first + end)]

    def _task(self, line: str | bytes) -> SlurmTask:
        """Parse one line, with the study's present folder, because it may have been moved."""
        content = json.loads(line)
        config = {**content["config"], "out": str(self.study.parent), "study": self.study.name}
        return SlurmTask(**{**content, "stage": Stage(content["stage"]), "config": config})

    def folder_of(self, task: SlurmTask) -> Path:
        """Return the folder of a task's status, logs and results."""
        return self.study / task.name if task.role else self.folder / task.name

    def write_tasks(self, kind: str, tasks: Sequence[SlurmTask]) -> None:
        """Write the tasks of one file atomically."""
        with atomic_write(self.folder / f"{kind}.jsonl") as aside, aside.open("w", encoding="utf-8") as file:
            for task in tasks:
                content: dict[str, Any] = {"name": task.name, "stage": task.stage.value, "config": task.config}
                content["role"] = task.role
                content |= {} if task.rung is None else {"rung": task.rung}
                file.write(json.dumps(content, ensure_ascii=False) + "\n")


def lock_holder(study: Path) -> str:
    """Describe the process that submits jobs of a study now; empty if there is none."""
    try:
        text = (study / JOBS / LOCK).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    pid, host = [*text.split(), "?", "?"][:2]
    if host == socket.gethostname() and pid.isdigit():
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, OverflowError):
            return ""  # it was killed, and the next command removes its lock
        except OSError:  # of another user
            pass
    return f"process {pid} on {host}"


def new_submission_folder(study: Path) -> Path:
    """Return the path of a folder for a new submission, named by the time."""
    return study / JOBS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def read_submissions(study: Path) -> list[Submission]:
    """Read a study's submissions, oldest first.

    A folder without submission.json is of a command that ended before it submitted anything; it is ignored.
    """
    return [read_submission(file.parent) for file in sorted((study / JOBS).glob(f"*/{SUBMISSION_FILE}"))]


def read_submission(folder: Path) -> Submission:
    """Read the submission in a folder, which may have been moved. Raises UserError for a damaged file."""
    try:
        content = _known_fields(read_json(folder / SUBMISSION_FILE), Submission)
        parts = [Part(**_known_fields(part, Part)) for part in content["parts"]]
        return Submission(**{"format": 1, **content, "folder": folder, "parts": parts})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(_damaged(folder / SUBMISSION_FILE, error)) from error


def _damaged(file: Path, error: Exception) -> str:
    return (
        f"{file} is damaged ({type(error).__name__}: {error}), so its jobs are unknown. See `squeue --me`; when none "
        f"of them is left, delete {file.parent} and rerun the same command"
    )


def preparations(submission: Submission) -> list[tuple[Submission, Part]]:
    """Return the preparations that a submission's points wait for: those of earlier submissions, then its own."""
    owners = []
    for name in submission.prepared_by:
        with suppress(UserError):  # deleted since
            owners.append(read_submission(submission.folder.parent / name))
    return [(one, part) for one in [*owners, submission] for part in one.parts if part.kind == PREPARE]


def _known_fields(content: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return the fields of a dataclass, without those that another version wrote."""
    return {field.name: content[field.name] for field in dataclasses.fields(kind) if field.name in content}


def job_comment(submission: Submission, part: Part) -> str:
    """Return the comment of a part's job, by which squeue finds the job if its id was not recorded."""
    return f"mmdpo:{submission.name}:{part.kind}:{part.first}"


def config_to_dict(value: Any) -> Any:
    """Convert a config, or a part of one, to JSON-able values; enums become their names."""
    if dataclasses.is_dataclass(value):
        return {key: config_to_dict(one) for key, one in vars(value).items()}
    if isinstance(value, dict):
        return {key: config_to_dict(one) for key, one in value.items()}
    if isinstance(value, list):
        return [config_to_dict(one) for one in value]
    return value.name if isinstance(value, Enum) else value


def config_from_dict(values: dict[str, Any]) -> Config:
    """Convert the result of `config_to_dict` back to a config. Raises UserError for keys of another version."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        result = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), with_judge_group(values)))
    except OmegaConfBaseException as error:
        raise UserError(
            f"a point was submitted by another version of mmdpo: {str(error).splitlines()[0]}. Rerun its launch command"
        ) from error
    assert isinstance(result, Config)
    return result


def changed_cluster(cluster: dict[str, Any], overrides: Sequence[str]) -> ClusterConfig:
    """Apply overrides such as cluster.mem=64G to the settings of a submission.

    Raises UserError for overrides of anything else, and for invalid values.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if others := [override for override in overrides if not override.startswith("cluster.") or "=" not in override]:
        raise UserError(f"{others[0]}: only settings of the cluster can be changed here, such as cluster.mem=64G")
    node = OmegaConf.merge(OmegaConf.structured(ClusterConfig), cluster)
    try:
        changes = OmegaConf.from_dotlist([override.removeprefix("cluster.") for override in overrides])
        result = OmegaConf.to_object(OmegaConf.merge(node, changes))
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    assert isinstance(result, ClusterConfig)
    if found := [*problems(result)]:
        raise UserError("\n".join(found))
    return result
