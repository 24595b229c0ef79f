"""The jobs of a submission that were cancelled by `python -m mmdpo cancel`, in cancelled.jsonl beside its other files.

SLURM forgets a task of an array that is cancelled while it waits: squeue no longer lists it, and accounting keeps it
as pending until its array has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from mmdpo.slurm.submission import Submission, user_name

FILE = "cancelled.jsonl"


def record_cancelled(submission: Submission, jobs: Iterable[str]) -> None:
    """Note that jobs of a submission were cancelled now, by this user."""
    entry = {"by": user_name(), "time": datetime.now(UTC).isoformat(timespec="seconds")}
    lines = "".join(json.dumps({"job": job, **entry}) + "\n" for job in jobs)
    if not lines:
        return
    with (submission.folder / FILE).open("a", encoding="utf-8") as file:
        file.write(lines)


def read_cancelled(submission: Submission) -> dict[str, str]:
    """Return the cancelled jobs of a submission by id, each with a text such as "cancelled by ada at ..."."""
    try:
        text = (submission.folder / FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            found[str(entry["job"])] = f"cancelled by {entry['by']} at {entry['time']}"
        except (ValueError, TypeError, KeyError):  # a line that was cut by a full disk
            continue
    return found
