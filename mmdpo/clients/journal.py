"""The journal of a judge: a row an attempt, in SQLite. What is in it was paid for and is not asked again.

A row is written in one transaction when its reply is there, so a kill leaves it whole or absent. Raw
replies are kept. The same journal serves every data set and every study.
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

from mmdpo.errors import UserError
from mmdpo.judge.request import Request
from mmdpo.records import Rating

TABLES = """
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,          -- of the request: all that a reply depends on
    prompt_id TEXT NOT NULL,
    judge TEXT NOT NULL,
    rubric TEXT NOT NULL,
    asked TEXT NOT NULL,        -- UTC, ISO 8601
    seconds REAL NOT NULL,
    outcome TEXT NOT NULL,      -- scored | unscored | failed
    step TEXT,                  -- of mmdpo.judge.reply, which read it
    reason TEXT,                -- why it is not scored
    ratings TEXT,               -- JSON: five numbers a completion, as shown
    shown TEXT NOT NULL,        -- JSON: which completion stood where
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL NOT NULL,
    note TEXT,                  -- what was done to the image
    reply TEXT
);
CREATE INDEX attempts_key ON attempts (key, outcome);
CREATE INDEX attempts_asked ON attempts (judge, asked);
"""
BATCHES = """
ALTER TABLE attempts ADD COLUMN batch TEXT; -- the job that it came from, by its name
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    display_name TEXT NOT NULL UNIQUE, -- ours, written before the job is created
    name TEXT,                  -- the service's, written when it is created
    judge TEXT NOT NULL,
    base_url TEXT,
    rubric TEXT NOT NULL,
    reads TEXT NOT NULL,        -- what makes something of its replies
    submitted TEXT NOT NULL,    -- UTC, ISO 8601
    state TEXT NOT NULL,        -- running | collected | closed | how else it ended
    expected REAL NOT NULL,     -- its cost, guessed
    asked TEXT NOT NULL         -- JSON: its requests, and with which text
);
"""
MIGRATIONS = (TABLES, BATCHES)  # each makes the next version of the one before; no ";" within a statement
VERSION = len(MIGRATIONS)


@dataclass(frozen=True)
class Attempt:
    """What came of one call. `outcome` is scored, unscored (asked, and no rating), or failed (no answer)."""

    outcome: str
    ratings: tuple[Rating, ...] = ()  # as shown
    step: str | None = None
    reason: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    note: str | None = None
    reply: str | None = None


@dataclass(frozen=True)
class Asked:
    """A request within a job: what its reply is kept under, for the request itself may be gone by then."""

    key: str
    prompt_id: str
    order: tuple[int, ...]
    mark: str = ""  # of a reminder
    note: str | None = None  # what was done to the image


@dataclass(frozen=True)
class Job:
    """Requests that were submitted together. `state` is `running` until the service's word is read."""

    display_name: str
    judge: str
    base_url: str | None
    rubric: str
    reads: str
    expected: float
    asked: tuple[Asked, ...]
    name: str | None = None
    state: str = "running"


class Journal:
    """An open journal, which threads may share; SQLite's own lock keeps processes apart."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file; None keeps the rows in memory. Raises UserError where it cannot be used."""
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=60, check_same_thread=False)
            self._open()
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _open(self) -> None:
        found = self._rows.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise UserError(
                f"{self.path}: a newer mmdpo wrote this journal (version {found}, this one reads {VERSION}). "
                "Update mmdpo, or type judge.journal=FILE for another."
            )
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing by it
        if found == VERSION:
            return
        with self.transaction():
            found = self._rows.execute("PRAGMA user_version").fetchone()[0]  # another process may be done
            for version in range(found, VERSION):
                for statement in MIGRATIONS[version].split(";"):
                    self._rows.execute(statement)
                self._rows.execute(f"PRAGMA user_version={version + 1}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within the block, or nothing of it."""
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

    def find(self, key: str) -> Attempt | None:
        """The answer to a request: its ratings, else that it stays unscored; None where it is open."""
        found = self._rows.execute(
            "SELECT outcome, ratings, step, reason, reply FROM attempts "
            "WHERE key = ? AND outcome != 'failed' ORDER BY outcome = 'scored' DESC, id DESC LIMIT 1",
            (key,),
        ).fetchone()
        if found is None:
            return None
        outcome, ratings, step, reason, reply = found
        made = tuple(Rating(*row) for row in json.loads(ratings or "[]"))
        return Attempt(outcome, made, step, reason, reply=reply)

    def record(
        self,
        request: Request,
        judge: str,
        rubric: str,
        attempt: Attempt,
        seconds: float,
        batch: str | None = None,
    ) -> None:
        """Add an attempt, durable when this returns. Raises UserError where the disk takes no more.

        `batch` names the job that it came from.
        """
        ratings = [list(vars(rating).values()) for rating in attempt.ratings] or None
        try:
            self._rows.execute(
                "INSERT INTO attempts (key, prompt_id, judge, rubric, asked, seconds, outcome, step, reason, "
                "ratings, shown, tokens_in, tokens_out, cost, note, reply, batch) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(request.key, request.prompt.id, judge, rubric),
                    *(datetime.now(UTC).isoformat(timespec="seconds"), round(seconds, 3)),
                    *(attempt.outcome, attempt.step, attempt.reason),
                    *(ratings and json.dumps(ratings), json.dumps(request.order)),
                    *(attempt.tokens_in, attempt.tokens_out, attempt.cost, attempt.note, attempt.reply),
                    batch,
                ),
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def asked_since(self, judge: str, moment: datetime) -> int:
        """How many calls were made since, of whatever outcome; batches have no such quota."""
        row = self._rows.execute(
            "SELECT count(*) FROM attempts WHERE judge = ? AND asked >= ? AND batch IS NULL",
            (judge, moment.astimezone(UTC).isoformat(timespec="seconds")),
        ).fetchone()
        return int(row[0])

    def spent(self, judge: str) -> float:
        """Money so far, in the currency of the price table."""
        row = self._rows.execute("SELECT sum(cost) FROM attempts WHERE judge = ?", (judge,)).fetchone()
        return float(row[0] or 0.0)

    def mean_tokens_out(self, judge: str) -> float | None:
        """Of the replies so far; None before the first."""
        row = self._rows.execute(
            "SELECT avg(tokens_out) FROM attempts WHERE judge = ? AND outcome = 'scored'", (judge,)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def add_job(self, job: Job) -> None:
        """Note a job, durable when this returns."""
        row = {**asdict(job), "asked": json.dumps([asdict(one) for one in job.asked])}
        row["submitted"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._change(f"INSERT INTO batches ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", row.values())

    def change_job(self, job: Job) -> None:
        """Write a job's name, state and requests anew."""
        asked = json.dumps([asdict(one) for one in job.asked])
        self._change(
            "UPDATE batches SET name = ?, state = ?, asked = ? WHERE display_name = ?",
            (job.name, job.state, asked, job.display_name),
        )

    def forget_job(self, job: Job) -> None:
        """Take back the note of a job that never was."""
        self._change("DELETE FROM batches WHERE display_name = ?", (job.display_name,))

    def close_jobs(self, judge: str) -> None:
        """Say that a stage has made use of what was collected."""
        self._change("UPDATE batches SET state = 'closed' WHERE judge = ? AND state = 'collected'", (judge,))

    def jobs(self, judge: str, base_url: str | None, state: str) -> list[Job]:
        """The jobs that a judge has at an endpoint, in their order."""
        rows = self._rows.execute(
            "SELECT display_name, judge, base_url, rubric, reads, expected, asked, name FROM batches "
            "WHERE judge = ? AND base_url IS ? AND state = ? ORDER BY id",
            (judge, base_url, state),
        ).fetchall()
        found = []
        for display_name, judge_, url, rubric, reads, expected, entries, name in rows:
            asked = tuple(_asked(entry) for entry in json.loads(entries))
            found.append(Job(display_name, judge_, url, rubric, reads, expected, asked, name, state))
        return found

    def _change(self, statement: str, values: Iterable[Any]) -> None:
        try:
            self._rows.execute(statement, tuple(values))
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file."""
        self._rows.close()

    def _unusable(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path}: the journal cannot be written ({error}). Make room or mend its rights, or type "
            "judge.journal=FILE on another disk."
        )


def _asked(entry: dict[str, Any]) -> Asked:
    return Asked(**{**entry, "order": tuple(entry["order"])})


@contextmanager
def journal(path: Path | None) -> Iterator[Journal]:
    """An open journal for a while."""
    opened = Journal(path)
    try:
        yield opened
    finally:
        opened.close()
