"""The clusters that tests share; each starts for the first test that asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.slurm.cluster import Cluster, cluster, missing

NEEDED = "MMDPO_TESTS_NEED_SLURM"  # .ci/run sets it: there, a SLURM that is not installed is a failure


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A real SLURM with accounting. Jobs of earlier tests may still be in its queue."""
    require()
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def slurm_without_accounting() -> Iterator[Cluster]:
    """A real SLURM whose sacct has nothing to say but that accounting is off."""
    require()
    with cluster(accounting="none") as running:
        yield running


def require() -> None:
    """Skip the test, or fail it, where no cluster can be started."""
    if reason := missing():
        (pytest.fail if os.environ.get(NEEDED) else pytest.skip)(f"no SLURM: {reason}")
