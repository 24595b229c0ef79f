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


def record_cancelled(submission: Submission, jobs: Iterable[str], tasks: Iterable[str] = ()) -> None:
    """Note what of a submission was cancelled now, by this user.

    Args:
        submission: The submission.
        jobs: The ids of the cancelled jobs.
        tasks: The names of cancelled tasks whose job runs others, too; it leaves them out.
    """
    entry = {"by": user_name(), "time": datetime.now(UTC).isoformat(timespec="seconds")}
    entries = [*({"job": job} for job in jobs), *({"task": task} for task in tasks)]
    lines = "".join(json.dumps({**one, **entry}) + "\n" for one in entries)
    if not lines:
        return
    with (submission.folder / FILE).open("a", encoding="utf-8") as file:
        file.write(lines)


def read_cancelled(submission: Submission) -> dict[str, str]:
    """Return what was cancelled of a submission, with texts such as "cancelled by ada at ...".

    The keys are ids of jobs, and names of tasks whose job runs others, too.
    """
    try:
        text = (submission.folder / FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            found[str(entry["job"] if "job" in entry else entry["task"])] = (
                f"cancelled by {entry['by']} at {entry['time']}"
            )
        except (ValueError, TypeError, KeyError):  # a line that was cut by a full disk
            continue
    return found
