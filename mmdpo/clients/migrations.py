"""Versions of the journal's tables, and the steps from each version to the next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

UNKNOWN_URL = "unknown"
"""Endpoint of attempts that were made before version 3, which did not note it; it counts for every endpoint."""

ATTEMPTS_1 = """
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    prompt_id TEXT NOT NULL,
    judge TEXT NOT NULL,
    rubric TEXT NOT NULL,
    asked TEXT NOT NULL,
    seconds REAL NOT NULL,
    outcome TEXT NOT NULL,
    step TEXT,
    reason TEXT,
    ratings TEXT,
    shown TEXT NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL NOT NULL,
    note TEXT,
    reply TEXT
);
CREATE INDEX attempts_key ON attempts (key, outcome);
CREATE INDEX attempts_asked ON attempts (judge, asked);
"""
BATCHES_2 = """
ALTER TABLE attempts ADD COLUMN batch TEXT;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    display_name TEXT NOT NULL UNIQUE,
    name TEXT,
    judge TEXT NOT NULL,
    base_url TEXT,
    rubric TEXT NOT NULL,
    reads TEXT NOT NULL,
    submitted TEXT NOT NULL,
    state TEXT NOT NULL,
    expected REAL NOT NULL,
    asked TEXT NOT NULL
);
"""
RAW_REPLIES_3 = f"""
CREATE TABLE attempts_3 (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,          -- of the request: all that a reply depends on
    record_id TEXT NOT NULL,    -- of the prompt that it was asked for
    purpose TEXT NOT NULL,      -- annotate | teacher | ...
    client TEXT NOT NULL,
    base_url TEXT,              -- NULL: the service's own endpoint
    model TEXT,
    asked TEXT NOT NULL,        -- UTC, ISO 8601
    seconds REAL NOT NULL,
    outcome TEXT NOT NULL,      -- answered | declined | failed
    reason TEXT,                -- why it was declined, or has failed
    reminded INTEGER NOT NULL,  -- 1: asked with the reminder
    truncated INTEGER NOT NULL, -- 1: the reply ended at the token limit
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL NOT NULL,
    note TEXT,                  -- how the image was changed
    reply TEXT,                 -- raw
    batch TEXT                  -- the service's name of the job that it came from
);
INSERT INTO attempts_3
    SELECT id, key, prompt_id, CASE shown WHEN '[]' THEN 'teacher' ELSE 'annotate' END, judge, '{UNKNOWN_URL}', NULL,
        asked, seconds,
        CASE WHEN outcome = 'failed' THEN 'failed' WHEN reply IS NOT NULL THEN 'answered'
            WHEN outcome = 'unscored' THEN 'declined' ELSE 'failed' END,
        CASE WHEN outcome = 'failed' OR reply IS NULL THEN reason END,
        coalesce(step, '') LIKE '%asked twice', coalesce(reason, '') = 'truncated' AND reply IS NOT NULL,
        tokens_in, tokens_out, cost, note, reply, batch
    FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_3 RENAME TO attempts;
CREATE INDEX attempts_key ON attempts (key, outcome);
CREATE INDEX attempts_asked ON attempts (client, asked);
CREATE TABLE batches_3 (
    id INTEGER PRIMARY KEY,
    display_name TEXT NOT NULL UNIQUE, -- ours, written before the job is created
    name TEXT,                  -- the service's, written when it is created
    purpose TEXT NOT NULL,
    client TEXT NOT NULL,
    base_url TEXT,
    submitted TEXT NOT NULL,    -- UTC, ISO 8601
    state TEXT NOT NULL,        -- running | collected | closed | how else it ended
    expected REAL NOT NULL,     -- estimated cost
    asked TEXT NOT NULL         -- JSON: its requests
);
INSERT INTO batches_3
    SELECT id, display_name, name,
        CASE reads WHEN 'read_ratings' THEN 'annotate' WHEN 'read_text' THEN 'teacher' ELSE reads END,
        judge, base_url, submitted, state, expected, asked
    FROM batches;
DROP TABLE batches;
ALTER TABLE batches_3 RENAME TO batches
"""
MODELS_4 = """
ALTER TABLE attempts ADD COLUMN served TEXT NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN model TEXT
"""
"""The model as the service named it in its reply, empty if unknown; the model that a job asks, NULL if unknown."""


def _statements(script: str) -> Callable[[sqlite3.Connection], None]:
    """Return a step that executes statements, none of which contains a semicolon."""

    def step(rows: sqlite3.Connection) -> None:
        for statement in script.split(";"):
            rows.execute(statement)

    return step


def _keep_raw_replies(rows: sqlite3.Connection) -> None:
    """Migrate version 2, which stored ratings, to version 3, which stores raw replies and parses them when read."""
    _statements(RAW_REPLIES_3)(rows)
    for job, asked in rows.execute("SELECT id, asked FROM batches").fetchall():
        entries = [
            {
                "key": entry["key"],
                "record_id": entry["prompt_id"],
                "reminded": bool(entry.get("mark")),
                "note": entry.get("note"),
            }
            for entry in json.loads(asked)
        ]
        rows.execute("UPDATE batches SET asked = ? WHERE id = ?", (json.dumps(entries), job))


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _statements(ATTEMPTS_1),
    _statements(BATCHES_2),
    _keep_raw_replies,
    _statements(MODELS_4),
)
"""The n-th step makes version n of version n - 1."""
VERSION = len(MIGRATIONS)


def migrate(rows: sqlite3.Connection) -> None:
    """Bring the tables to this version, within the caller's transaction."""
    found = rows.execute("PRAGMA user_version").fetchone()[0]
    for version in range(found, VERSION):
        MIGRATIONS[version](rows)
        rows.execute(f"PRAGMA user_version={version + 1}")
