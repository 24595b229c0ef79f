"""status.json: the state of a point, in its folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from mmdpo.config.choices import Stage
from mmdpo.config.shard import Shard
from mmdpo.env_secrets import redacted
from mmdpo.files import write_json
from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.results import UNFINISHED, has_answers, has_result, is_exported, read_training

MAX_PID = 2**31 - 1
SHARES = "shards"
"""The folder of a point that holds the states and logs of its shares (`bench.shard`)."""


class State(StrEnum):
    """The states of a point, in tables as well as in status.json.

    status.json never holds some of them: `pending` and `cancelled` are states of its job on SLURM, `trained` and
    `answered` tell how far a planned point is by its files, `unreadable` is a point whose files are damaged.
    """

    planned = "planned"
    pending = "pending"  # its job waits in SLURM's queue
    running = "running"
    interrupted = "interrupted"
    done = "done"
    failed = "failed"
    trained = "trained"  # its adapter is complete, and its model is not measured
    answered = "answered"  # its model has answered all tasks, and the answers are not judged
    pruned = "pruned"  # a search stopped its training at a rung; it can be trained to the end with search=none
    cancelled = "cancelled"  # its job was cancelled before it ended
    unreadable = "unreadable"  # a file of the point cannot be read


@dataclass
class Status:
    """The content of status.json; times are UTC in ISO 8601.

    `interruptions` are the attempts that ended before their work did: attempt, cause, job_id, host, time, saved.
    `saved` is how much work of each kind is saved, such as the step of the last checkpoint.
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
    waiting: str | None = None  # what the running attempt waits for
    interruptions: list[dict[str, Any]] = field(default_factory=list)
    saved: dict[str, int] = field(default_factory=dict)
    pruned: str | None = None  # at which rung, with which score, and why


def read_status(folder: Path) -> Status:
    """Return the status of a point; `planned` if it is missing or cannot be read. Values of a wrong type are left out.

    Raises nothing: who watches many points must not end at one damaged file.
    """
    data = mapping_or_none(folder / "status.json") or {}
    try:
        known = {key: value for key, value in data.items() if _is_valid(key, value)}
        return Status(**{**known, "state": State(data["state"])})
    except (ValueError, KeyError):
        return Status()


def _is_valid(key: str, value: Any) -> bool:
    """Return whether a value of status.json has the type that this version writes."""
    if key == "attempts":
        return type(value) is int and value >= 0
    if key == "interruptions":
        entries = value if isinstance(value, list) else [None]
        return all(isinstance(one, dict) and isinstance(one.get("cause"), str) for one in entries)
    if key == "saved":
        return isinstance(value, dict) and all(type(amount) is int for amount in value.values())
    if key == "pid":
        return value is None or is_pid(value)
    return key in Status.__dataclass_fields__ and (value is None or isinstance(value, str))


def is_pid(value: Any) -> bool:
    """Return whether a value can be the id of a process."""
    return type(value) is int and 0 < value <= MAX_PID


def is_process_gone(pid: int, host: str | None) -> bool:
    """Return whether a process has ended; False if it ran on another host."""
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def write_status(folder: Path, status: Status) -> None:
    """Replace status.json."""
    write_json(folder / "status.json", asdict(status))


def plan(folder: Path) -> None:
    """Note that the point will be run."""
    before = read_status(folder)
    planned = Status(State.planned, attempts=before.attempts, interruptions=before.interruptions, saved=before.saved)
    write_status(folder, planned)


def prune(folder: Path, reason: str) -> None:
    """Note that a search stopped the point's training, and why. A finished point stays finished."""
    if is_done(folder) or read_status(folder).pruned == reason:
        return
    before = read_status(folder)
    write_status(
        folder,
        Status(
            State.pruned,
            attempts=before.attempts,
            started=before.started,
            finished=_now(),
            interruptions=before.interruptions,
            saved=before.saved,
            pruned=reason,
        ),
    )


def start(folder: Path) -> None:
    """Note that this process runs the point; an attempt without a noted end was killed."""
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
            saved=before.saved,
        ),
    )


def job_id() -> str | None:
    """This job's id as SLURM shows it, 12_3 for a task of an array; None outside a job."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def interrupt(folder: Path, cause: str) -> None:
    """Note that the running attempt ended before its work did; it continues later."""
    status = read_status(folder)
    status.interruptions.append(
        {
            "attempt": status.attempts,
            "cause": cause,
            "job_id": status.job_id,
            "host": status.host,
            "time": _now(),
            "saved": dict(status.saved),
        }
    )
    status.state, status.finished, status.waiting = State.interrupted, _now(), None
    write_status(folder, status)


def relabel(folder: Path, cause: str) -> None:
    """Replace the cause of the last interruption by the one that was found later."""
    status = read_status(folder)
    status.interruptions[-1]["cause"] = cause
    write_status(folder, status)


def finish(folder: Path, error: str | None = None, traceback: str | None = None) -> None:
    """Note how the run of the point ended."""
    status = read_status(folder)
    status.state = State.failed if error else State.done
    status.error, status.traceback = redacted(error), redacted(traceback)
    status.finished, status.waiting = _now(), None
    write_status(folder, status)


@dataclass(frozen=True)
class StatusRecorder:
    """A recorder of `mmdpo.activity` that writes into the status of a point's, or a job's, folder."""

    folder: Path

    def waiting(self, reason: str | None) -> None:
        """Note what the work waits for; None if it continues."""
        self._update(waiting=reason)

    def saved(self, kind: str, amount: int) -> None:
        """Note how much of one kind of work is saved."""
        self._update(saved={**read_status(self.folder).saved, kind: amount})

    def _update(self, **changes: Any) -> None:
        with suppress(OSError):  # the work itself is more important than a note about it
            write_status(self.folder, replace(read_status(self.folder), **changes))


def is_stage_done(folder: Path, stage: Stage, tasks: Iterable[str]) -> bool:
    """Return whether a stage of a point has written its files, and they can be read.

    Args:
        folder: The folder of the point.
        stage: `train` writes an adapter, `evaluate` answers, `export` a merged model, the others the result.
        tasks: The tasks of `evaluate`.
    """
    if stage is Stage.train:
        return read_training(folder) is not None
    if stage is Stage.export:
        return is_exported(folder)
    return is_done(folder) or (stage is Stage.evaluate and has_answers(folder, tasks))


def is_share_done(folder: Path, shard: Shard, tasks: Iterable[str]) -> bool:
    """Return whether a share of a point's samples is answered.

    Args:
        folder: The folder of the point.
        shard: The share.
        tasks: The point's tasks; complete answers include those of all shares.
    """
    if is_stage_done(folder, Stage.evaluate, tasks):
        return True
    stored = folder / "answers" / UNFINISHED / f"{shard.label}.jsonl"
    return stored.exists() and read_status(folder / SHARES / shard.label).state is State.done


def is_done(folder: Path) -> bool:
    """Return whether the point ended without an error, and its result can be read."""
    return read_status(folder).state is State.done and has_result(folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
