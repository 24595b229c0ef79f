"""The ids of a submission's jobs, also of those whose command ended before it noted them."""

from __future__ import annotations

from collections.abc import Mapping

from mmdpo.slurm import client as slurm
from mmdpo.slurm.submission import Part, Submission, job_comment


def find_job_id(submission: Submission, part: Part, jobs: Mapping[str, slurm.Job]) -> str | None:
    """Find SLURM's id of a part, by the comment in the queue or by the file that the job itself wrote.

    Args:
        submission: The submission that the part belongs to.
        part: The part whose id was not recorded.
        jobs: The user's jobs by id.

    Returns:
        The id of the job or array; None if sbatch did not accept the part.
    """
    own = job_comment(submission, part)
    queued = (job.id.partition("_")[0] for job in jobs.values() if job.comment == own)
    file = submission.folder / f"{part.kind}-{part.first}.job"
    return next(queued, None) or (file.read_text(encoding="utf-8").strip() if file.exists() else None) or None


def fill_job_ids(submission: Submission, jobs: Mapping[str, slurm.Job]) -> bool:
    """Set the ids of parts whose id was not recorded, as far as they are found.

    Args:
        submission: The submission; it is changed in memory, not on disk.
        jobs: The user's jobs by id.

    Returns:
        True if an id was found.
    """
    missing = [part for part in submission.parts if part.job is None]
    for part in missing:
        part.job = find_job_id(submission, part, jobs)
    return any(part.job is not None for part in missing)
