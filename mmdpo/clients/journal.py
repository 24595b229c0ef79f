"""The journal of requests to paid models: one row per attempt, in SQLite.

Replies are stored raw, with tokens and cost, and parsed when they are read. A row is written in one transaction
when its reply is there, so that after a kill it is whole or absent. All data sets and studies share a journal.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmdpo.clients.migrations import UNKNOWN_URL, VERSION, migrate
from mmdpo.clients.request import Request
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError

ANSWERED, DECLINED, FAILED = "answered", "declined", "failed"


@dataclass(frozen=True)
class Account:
    """A client and its endpoint, whose money, quota and jobs are counted together; None is the service's own."""

    client: str
    base_url: str | None = None


@dataclass(frozen=True)
class Attempt:
    """The outcome of one call.

    Args:
        outcome: `answered`, `declined` (the service refuses the request) or `failed` (no answer; still open).
        reply: The raw reply.
        reason: Why the call was declined or has failed.
        reminded: Whether the request was asked with its reminder.
        truncated: Whether the reply ended at the token limit.
        tokens_in: Tokens of the request.
        tokens_out: Tokens of the reply.
        cost: Price, in the currency of the price table.
        note: How the image was changed before it was sent.
        served: The name of the model as the service reported it; empty if unknown.
    """

    outcome: str
    reply: str | None = None
    reason: str | None = None
    reminded: bool = False
    truncated: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    note: str | None = None
    served: str = ""


@dataclass(frozen=True)
class JobEntry:
    """A request within a batch job: its key, its record, and how it was sent."""

    key: str
    record_id: str
    reminded: bool = False
    note: str | None = None


@dataclass(frozen=True)
class BatchJob:
    """Requests that were submitted together; `state` is `running` until their replies are collected.

    `model` is the service's name of the model that is asked; None for jobs of earlier versions, which did not note it.
    """

    display_name: str
    account: Account
    purpose: str
    expected: float
    asked: tuple[JobEntry, ...]
    name: str | None = None
    state: str = "running"
    model: str | None = None


class Journal:
    """An open journal, which threads may share; SQLite's own lock separates processes."""

    def __init__(self, path: Path | None, read_only: bool = False) -> None:
        """Open or create the file.

        Args:
            path: The file, which is created if it is absent; None keeps the rows in memory.
            read_only: Do not change the file; one of an older version is migrated in memory.

        Raises:
            UserError: If the file cannot be used; names `judge.journal`.
        """
        self.path = path
        try:
            if path is not None and not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=60, check_same_thread=False)
            self._open(read_only and path is not None)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _open(self, read_only: bool) -> None:
        found = self._rows.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise UserError(
                f"{self.path}: a newer mmdpo wrote this journal (version {found}, this one reads {VERSION}). "
                "Update mmdpo, or type judge.journal=FILE to use another."
            )
        if read_only and found < VERSION:
            file, self._rows = self._rows, sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            file.backup(self._rows)
            file.close()
        elif not read_only:
            self._rows.execute("PRAGMA journal_mode=WAL")
            self._rows.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing by it
        if found < VERSION:
            with self.transaction():  # another process may have migrated the file meanwhile
                migrate(self._rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that is written within the block, or nothing of it."""
        try:
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._rows.execute("ROLLBACK")
                raise
            self._rows.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def attempts(self, key: str) -> list[Attempt]:
        """Return the answered and declined attempts at a request, oldest first; none if it is still open."""
        rows = self._rows.execute(
            "SELECT outcome, reply, reason, reminded, truncated, tokens_in, tokens_out, cost, note, served "
            "FROM attempts WHERE key = ? AND outcome != ? ORDER BY id",
            (key, FAILED),
        )
        return [
            Attempt(outcome, reply, reason, bool(reminded), bool(truncated), *numbers)
            for outcome, reply, reason, reminded, truncated, *numbers in rows
        ]

    def record(
        self,
        request: Request,
        account: Account,
        model: str | None,
        attempt: Attempt,
        seconds: float,
        batch: str | None = None,
    ) -> None:
        """Add an attempt, which is durable when this returns.

        Args:
            request: What was asked.
            account: The client and endpoint that were asked.
            model: The service's name of the model.
            attempt: The outcome.
            seconds: Duration of the call.
            batch: The service's name of the job that the reply came from, if it did.

        Raises:
            UserError: If the file cannot be written.
        """
        row = {
            "key": request.key,
            "record_id": request.record_id,
            "purpose": request.purpose,
            **asdict(account),
            "model": model,
            "asked": _now(),
            "seconds": round(seconds, 3),
            **asdict(attempt),
            "batch": batch,
        }
        self._insert("attempts", row)

    def asked_since(self, account: Account, moment: datetime) -> int:
        """Count the calls since a moment, whatever their outcome; batches do not count for daily quotas."""
        since = moment.astimezone(UTC).isoformat(timespec="seconds")
        return int(self._total("count(*)", account, "asked >= ? AND batch IS NULL", since) or 0)

    def spent(self, account: Account) -> float:
        """Return the money spent so far, in the currency of the price table."""
        return float(self._total("sum(cost)", account, "1") or 0.0)

    def mean_tokens_out(self, account: Account, purpose: str) -> float | None:
        """Return the mean length of the replies for a purpose, in tokens; None before the first."""
        return self._total("avg(tokens_out)", account, "outcome = 'answered' AND purpose = ?", purpose)

    def _total(self, value: str, account: Account, where: str, *parameters: Any) -> float | None:
        found: float | None = self._rows.execute(
            f"SELECT {value} FROM attempts WHERE client = ? AND (base_url IS ? OR base_url = ?) AND {where}",
            (account.client, account.base_url, UNKNOWN_URL, *parameters),
        ).fetchone()[0]
        return found

    def add_job(self, job: BatchJob) -> None:
        """Note a job, which is durable when this returns."""
        row = {**asdict(job.account), **{name: value for name, value in asdict(job).items() if name != "account"}}
        self._insert("batches", {**row, "asked": json.dumps(row["asked"]), "submitted": _now()})

    def change_job(self, job: BatchJob) -> None:
        """Overwrite a job's name, state and requests."""
        asked = json.dumps([asdict(entry) for entry in job.asked])
        self._write(
            "UPDATE batches SET name = ?, state = ?, asked = ? WHERE display_name = ?",
            (job.name, job.state, asked, job.display_name),
        )

    def forget_job(self, job: BatchJob) -> None:
        """Delete the note of a job that was never created."""
        self._write("DELETE FROM batches WHERE display_name = ?", (job.display_name,))

    def close_jobs(self, account: Account, purpose: str) -> None:
        """Mark the collected jobs of a purpose as used by their stage."""
        self._write(
            "UPDATE batches SET state = 'closed' "
            "WHERE client = ? AND base_url IS ? AND purpose = ? AND state = 'collected'",
            (account.client, account.base_url, purpose),
        )

    def jobs(self, account: Account, state: str) -> list[BatchJob]:
        """Return the jobs of an account in a state, oldest first."""
        rows = self._rows.execute(
            "SELECT display_name, purpose, expected, asked, name, model FROM batches "
            "WHERE client = ? AND base_url IS ? AND state = ? ORDER BY id",
            (account.client, account.base_url, state),
        )
        return [
            BatchJob(display_name, account, purpose, expected, _entries(asked), name, state, model)
            for display_name, purpose, expected, asked, name, model in rows.fetchall()
        ]

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        self._write(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", row.values())

    def _write(self, statement: str, values: Iterable[Any]) -> None:
        try:
            self._rows.execute(statement, tuple(values))
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file."""
        self._rows.close()

    def _unusable(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path}: the journal cannot be written ({error}). Free disk space or fix its permissions, or type "
            "judge.journal=FILE to use a file on another disk."
        )


def account_of(judge: JudgeConfig) -> Account:
    """Return the account that a judge's calls are counted for; the judge's label does not matter."""
    return Account(judge.client, judge.base_url)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _entries(asked: str) -> tuple[JobEntry, ...]:
    return tuple(JobEntry(**entry) for entry in json.loads(asked))


@contextmanager
def journal(path: Path | None, read_only: bool = False) -> Iterator[Journal]:
    """Open a journal for the length of a block; see Journal."""
    opened = Journal(path, read_only)
    try:
        yield opened
    finally:
        opened.close()
