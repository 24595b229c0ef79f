"""status.json: what a point's folder says of itself."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from mmdpo.files import read_json, write_json


class State(StrEnum):
    """Where a point stands."""

    planned = "planned"
    running = "running"
    done = "done"
    failed = "failed"


@dataclass
class Status:
    """The content of status.json; times are UTC in ISO 8601."""

    state: State = State.planned
    attempts: int = 0
    host: str | None = None
    pid: int | None = None
    job_id: str | None = None
    error: str | None = None
    started: str | None = None
    finished: str | None = None


def read_status(folder: Path) -> Status:
    """The status of a point; `planned` where there is none or it cannot be read."""
    try:
        data = read_json(folder / "status.json")
        return Status(**{**data, "state": State(data["state"])})
    except (OSError, ValueError, TypeError, KeyError):
        return Status()


def write_status(folder: Path, status: Status) -> None:
    """Replace status.json."""
    write_json(folder / "status.json", asdict(status))


def plan(folder: Path) -> None:
    """Note that the point will be run."""
    status = read_status(folder)
    write_status(folder, Status(State.planned, attempts=status.attempts))


def start(folder: Path) -> None:
    """Note that this process runs the point."""
    write_status(
        folder,
        Status(
            State.running,
            attempts=read_status(folder).attempts + 1,
            host=socket.gethostname(),
            pid=os.getpid(),
            job_id=os.environ.get("SLURM_JOB_ID"),
            started=_now(),
        ),
    )


def finish(folder: Path, error: str | None = None) -> None:
    """Note how the run of the point ended."""
    status = read_status(folder)
    status.state = State.failed if error else State.done
    status.error, status.finished = error, _now()
    write_status(folder, status)


def is_done(folder: Path) -> bool:
    """Whether the point ended well and its result is there."""
    return read_status(folder).state is State.done and (folder / "result.json").exists()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
