"""status.json: the state of a point, its attempts and its interruptions."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from mmdpo.files import read_json, write_json


class State(StrEnum):
    """State of a point."""

    planned = "planned"
    running = "running"
    interrupted = "interrupted"
    done = "done"
    failed = "failed"


@dataclass
class Status:
    """The content of status.json; times are UTC in ISO 8601.

    Attributes:
        state: State of the point.
        attempts: Number of attempts so far.
        host: Host name of the last attempt.
        pid: Process id of the last attempt.
        job_id: SLURM's id of the last attempt's job.
        error: Reason of a failure.
        traceback: Traceback of a failure.
        started: Start of the last attempt.
        finished: End of the last attempt.
        interruptions: The attempts that ended before their work was done: attempt, cause, job_id, host, time.
    """

    state: State = State.planned
    attempts: int = 0
    host: str | None = None
    pid: int | None = None
    job_id: str | None = None
    error: str | None = None
    traceback: str | None = None
    started: str | None = None
    finished: str | None = None
    interruptions: list[dict[str, Any]] = field(default_factory=list)


def read_status(folder: Path) -> Status:
    """Return the status of a point; `planned` where there is none or it cannot be read."""
    try:
        data = read_json(folder / "status.json")
        known = {key: data[key] for key in Status.__dataclass_fields__ if key in data}
        return Status(**{**known, "state": State(data["state"])})
    except (OSError, ValueError, TypeError, KeyError):
        return Status()


def write_status(folder: Path, status: Status) -> None:
    """Write status.json, whole or not at all."""
    write_json(folder / "status.json", asdict(status))


def plan(folder: Path) -> None:
    """Record that the point will be run."""
    before = read_status(folder)
    write_status(folder, Status(State.planned, attempts=before.attempts, interruptions=before.interruptions))


def start(folder: Path) -> None:
    """Record that this process runs the point; an earlier attempt without an end was killed."""
    if read_status(folder).state is State.running:
        interrupt(folder, "killed")
    before = read_status(folder)
    write_status(
        folder,
        Status(
            State.running,
            attempts=before.attempts + 1,
            host=socket.gethostname(),
            pid=os.getpid(),
            job_id=job_id(),
            started=_now(),
            interruptions=before.interruptions,
        ),
    )


def job_id() -> str | None:
    """Return this job's id as SLURM shows it, 12_3 for a task of an array; None outside a job."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def interrupt(folder: Path, cause: str) -> None:
    """Record that the running attempt ended before its work was done; a later one continues it."""
    status = read_status(folder)
    status.interruptions.append(
        {
            "attempt": status.attempts,
            "cause": cause,
            "job_id": status.job_id,
            "host": status.host,
            "time": _now(),
        }
    )
    status.state, status.finished = State.interrupted, _now()
    write_status(folder, status)


def relabel(folder: Path, cause: str) -> None:
    """Replace the cause of the last interruption by one that was found later."""
    status = read_status(folder)
    status.interruptions[-1]["cause"] = cause
    write_status(folder, status)


def finish(folder: Path, error: str | None = None, traceback: str | None = None) -> None:
    """Record the end of the point: done, or failed for a reason."""
    status = read_status(folder)
    status.state = State.failed if error else State.done
    status.error, status.traceback, status.finished = error, traceback, _now()
    write_status(folder, status)


def is_done(folder: Path) -> bool:
    """Whether the point is done and its result exists."""
    return read_status(folder).state is State.done and (folder / "result.json").exists()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
