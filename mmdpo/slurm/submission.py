"""A submission: what one launch line gave to SLURM, on disk beside the study before any job can start.

STUDY/jobs/20261124-021500-1a2b/
  submission.json   who, when, from where, with which code; the jobs and which tasks are theirs
  prepare.jsonl     what the points share, a task a line
  tasks.jsonl       the points, a task a line: name, role, stage and resolved config
  prepare/ STAGE/   status and logs of tasks that are no points; a point's lie in its own folder
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pwd
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from mmdpo.config.choices import Stage
from mmdpo.config.cluster_checks import problems
from mmdpo.config.schema import ClusterConfig, Config
from mmdpo.errors import UserError
from mmdpo.files import atomic_write, fingerprint, read_json, write_json
from mmdpo.points.point import Point, Role, point

JOBS = "jobs"
FILE = "submission.json"
PREPARE, TASKS = "prepare", "tasks"
OF_POINTS = (Stage.experiment, Stage.train, Stage.evaluate)


@dataclass(frozen=True)
class Task:
    """What one process, or several together, do: a stage of a point, or one that makes data."""

    name: str
    stage: Stage
    config: dict[str, Any]  # resolved; enums by name
    role: str | None = None  # of a point
    known: Point | None = field(default=None, compare=False, repr=False)  # in the process that made it

    @classmethod
    def of(cls, p: Point, stage: Stage) -> Task:
        """The task of a point's stage, or of a stage that makes data from the point's config."""
        if stage in OF_POINTS:
            return cls(p.name, stage, plain(p.config), p.role.value, known=p)
        return cls(f"{stage.value}-{fingerprint(plain(p.config), length=6)}", stage, plain(p.config))

    @property
    def point(self) -> Point:
        """The point whose stage this is."""
        if self.known is not None:
            return self.known
        config = typed(self.config)
        return Point(config, Role(self.role), self.name) if self.role else point(config)


@dataclass
class Part:
    """One job, or one array of jobs, of a submission."""

    kind: str  # PREPARE: all lines of its file in one job; TASKS: an array, a line a job
    first: int = 0  # of its lines
    count: int = 1
    job: str | None = None  # SLURM's id; None until sbatch has answered

    def ids(self) -> list[str | None]:
        """The ids of its jobs, in the order of their lines; None where sbatch has not answered."""
        if self.kind == PREPARE:
            return [self.job]
        return [self.job and f"{self.job}_{index}" for index in range(self.count)]


def own_name() -> str:
    """The user's name as SLURM knows it, whatever the environment says; the number where there is no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@dataclass
class Submission:
    """The content of submission.json, and where it lies."""

    folder: Path
    code: str  # the folder of the code's snapshot, beside this one
    cluster: dict[str, Any]  # the config's node
    inputs: dict[str, str]  # fingerprints of data and model
    parts: list[Part] = field(default_factory=list)
    user: str = field(default_factory=own_name)
    cluster_name: str = ""  # SLURM's, whose ids are the jobs'
    host: str = field(default_factory=socket.gethostname)
    cwd: str = field(default_factory=os.getcwd)
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    python: str = sys.executable
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @property
    def study(self) -> Path:
        """The folder of the study."""
        return self.folder.parent.parent

    def save(self) -> None:
        """Write submission.json, whole or not at all."""
        write_json(self.folder / FILE, {**dataclasses.asdict(self), "folder": str(self.folder)})

    def tasks(self, kind: str = TASKS) -> Iterator[Task]:
        """The tasks of a file, in order."""
        path = self.folder / f"{kind}.jsonl"
        if path.exists():
            with path.open(encoding="utf-8") as lines:
                yield from map(self._task, lines)

    def task(self, part: Part, index: int) -> Task:
        """One task of an array."""
        with (self.folder / f"{part.kind}.jsonl").open(encoding="utf-8") as lines:
            return self._task(next(itertools.islice(lines, part.first + index, None)))

    def _task(self, line: str) -> Task:
        """The task of a line; the study may have been moved since."""
        content = json.loads(line)
        config = {**content["config"], "out": str(self.study.parent), "study": self.study.name}
        return Task(**{**content, "stage": Stage(content["stage"]), "config": config})

    def folder_of(self, task: Task) -> Path:
        """Where a task's status, logs and results lie."""
        return self.study / task.name if task.role else self.folder / task.name

    def write_tasks(self, kind: str, tasks: Sequence[Task]) -> None:
        """Write the tasks of a file."""
        with atomic_write(self.folder / f"{kind}.jsonl") as aside, aside.open("w", encoding="utf-8") as file:
            for task in tasks:
                content = {
                    "name": task.name,
                    "stage": task.stage.value,
                    "config": task.config,
                    "role": task.role,
                }
                file.write(json.dumps(content, ensure_ascii=False) + "\n")


def new_folder(study: Path) -> Path:
    """A folder for a new submission, named by the time."""
    return study / JOBS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def submissions(study: Path) -> list[Submission]:
    """A study's submissions, oldest first; a folder without a file was left before anything was submitted."""
    return [read(file.parent) for file in sorted((study / JOBS).glob(f"*/{FILE}"))]


def read(folder: Path) -> Submission:
    """The submission in a folder; the study may have been moved since. Raises UserError for a torn file."""
    try:
        content = _known(read_json(folder / FILE), Submission)
        parts = [Part(**_known(part, Part)) for part in content["parts"]]
        return Submission(**{**content, "folder": folder, "parts": parts})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder / FILE} is torn ({type(error).__name__}: {error}), so its jobs are not known. See "
            f"`squeue --me`; when none of them is left, delete {folder} and type the line again"
        ) from error


def _known(content: dict[str, Any], kind: type) -> dict[str, Any]:
    """The fields of a dataclass; what another version wrote besides is passed over."""
    return {field.name: content[field.name] for field in dataclasses.fields(kind) if field.name in content}


def comment(submission: Submission, part: Part) -> str:
    """What a job says of itself in squeue, by which it is found where its id was not noted."""
    return f"mmdpo:{submission.name}:{part.kind}:{part.first}"


def plain(value: Any) -> Any:
    """A config, or a part of one, as JSON-able values, enums by name."""
    if dataclasses.is_dataclass(value):
        return {key: plain(one) for key, one in vars(value).items()}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.name if isinstance(value, Enum) else value


def typed(config: dict[str, Any]) -> Config:
    """The config that `plain` was made from. Raises UserError where its schema was another one."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        result = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), config))
    except OmegaConfBaseException as error:
        raise UserError(
            f"a point was submitted by another version of mmdpo: {str(error).splitlines()[0]}. Type its "
            "launch line again"
        ) from error
    assert isinstance(result, Config)
    return result


def changed_cluster(cluster: dict[str, Any], overrides: Sequence[str]) -> ClusterConfig:
    """The settings of a submission with overrides such as cluster.mem=64G. Raises UserError for others."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if others := [word for word in overrides if not word.startswith("cluster.") or "=" not in word]:
        raise UserError(f"{others[0]}: only settings of the cluster can change here, as in cluster.mem=64G")
    node = OmegaConf.merge(OmegaConf.structured(ClusterConfig), cluster)
    try:
        words = OmegaConf.from_dotlist([word.removeprefix("cluster.") for word in overrides])
        result = OmegaConf.to_object(OmegaConf.merge(node, words))
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    assert isinstance(result, ClusterConfig)
    if found := [*problems(result)]:
        raise UserError("\n".join(found))
    return result
