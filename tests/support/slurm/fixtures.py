"""Clusters that tests share; each starts for the first test that uses it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.slurm.cluster import Cluster, cluster, missing

NEEDED = "MMDPO_TESTS_NEED_SLURM"  # .ci/run sets it: tests fail where SLURM is not installed


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A real SLURM with accounting. Jobs of earlier tests may still be in its queue."""
    require()
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def slurm_without_accounting() -> Iterator[Cluster]:
    """A real SLURM without accounting: sacct fails."""
    require()
    with cluster(accounting="none") as running:
        yield running


def require() -> None:
    """Skip the test, or fail it, where no cluster can be started."""
    if reason := missing():
        (pytest.fail if os.environ.get(NEEDED) else pytest.skip)(f"no SLURM: {reason}")
