"""Condition under which a SLURM job ends with answers, which are judged elsewhere."""

from __future__ import annotations

from mmdpo.config.choices import RULES, Runner


def is_judged_apart(client: str, runner: Runner | str) -> bool:
    """Return whether the judge is a service and the points run as SLURM jobs, whose nodes may have no network."""
    return str(runner) == Runner.slurm.value and client not in RULES.names()
