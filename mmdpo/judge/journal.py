"""The journal of a judge: a row an attempt, in SQLite. What is in it was paid for and is not asked again.

A row is written in one transaction when its reply is there, so a kill leaves it whole or absent. Raw
replies are kept. The same journal serves every data set and every study.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mmdpo.errors import UserError
from mmdpo.judge.request import Request
from mmdpo.records import Rating

VERSION = 1  # of the tables; raise it when they change
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


class Journal:
    """An open journal, which threads may share; SQLite's own lock keeps processes apart."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file; None keeps the rows in memory. Raises UserError where it cannot be used."""
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(
                path or ":memory:", isolation_level=None, timeout=60, check_same_thread=False
            )
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
        if found == 0:
            self._rows.executescript(f"BEGIN; {TABLES} PRAGMA user_version={VERSION}; COMMIT;")

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

    def record(self, request: Request, judge: str, rubric: str, attempt: Attempt, seconds: float) -> None:
        """Add an attempt, durable when this returns. Raises UserError where the disk takes no more."""
        ratings = [list(vars(rating).values()) for rating in attempt.ratings] or None
        try:
            self._rows.execute(
                "INSERT INTO attempts (key, prompt_id, judge, rubric, asked, seconds, outcome, step, reason, "
                "ratings, shown, tokens_in, tokens_out, cost, note, reply) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(request.key, request.prompt.id, judge, rubric),
                    *(datetime.now(UTC).isoformat(timespec="seconds"), round(seconds, 3)),
                    *(attempt.outcome, attempt.step, attempt.reason),
                    *(ratings and json.dumps(ratings), json.dumps(request.order)),
                    *(attempt.tokens_in, attempt.tokens_out, attempt.cost, attempt.note, attempt.reply),
                ),
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def asked_since(self, judge: str, moment: datetime) -> int:
        """How many calls were made since, of whatever outcome."""
        row = self._rows.execute(
            "SELECT count(*) FROM attempts WHERE judge = ? AND asked >= ?",
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

    def close(self) -> None:
        """Close the file."""
        self._rows.close()

    def _unusable(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path}: the journal cannot be written ({error}). Make room or mend its rights, or type "
            "judge.journal=FILE on another disk."
        )


@contextmanager
def journal(path: Path | None) -> Iterator[Journal]:
    """An open journal for a while."""
    opened = Journal(path)
    try:
        yield opened
    finally:
        opened.close()
