"""The tests' own SLURM does what the launcher's tests rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm


def test_an_array_completes_and_is_accounted_for(slurm: Cluster, tmp_path: Path):
    job = slurm.submit("echo $SLURM_ARRAY_TASK_ID", "--array=0-2", "--output=%a.txt", folder=tmp_path)
    slurm.wait_for_state(job, "COMPLETED")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        f"{i}.txt": f"{i}\n" for i in range(3)
    }
    done = {f"{job}_{index}": "COMPLETED" for index in range(3)}
    slurm.wait_for(lambda: slurm.accounted(job) == done, 10, "three tasks in sacct")
