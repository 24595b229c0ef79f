"""Jobs that run several points in turn on a real SLURM."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.slurm.lines import SMALL, Lines
from tests.support.slurm.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.exhaustive]


def test_a_killed_job_continues_with_its_unfinished_point(slurm: Cluster, tmp_path: Path):
    lines = Lines(slurm, tmp_path)
    line = (*SMALL, "stage=train", "beta=0.1,0.2,0.3", "train.num_train_epochs=8", "train.save_steps=2")
    lines.launch(*line, "cluster.points_per_job=2", "cluster.wait=false")
    array = lines.jobs()[-1]
    second = "beta0.2"
    lines.cluster.wait_for(lambda: len(lines.losses(second)) >= 3, 120, "the training of a second point")
    os.kill(lines.status(second)["pid"], signal.SIGKILL)
    states = lines.wait_for_end()
    assert {job: state for job, state in states.items() if job.startswith(array)} == {
        f"{array}_0": "COMPLETED",
        f"{array}_1": "COMPLETED",
    }
    assert [lines.status(beta)["attempts"] for beta in ("beta0.1", second, "beta0.3")] == [1, 2, 1]
    (interruption,) = lines.status(second)["interruptions"]
    assert (interruption["cause"], interruption["job_id"]) == ("killed", f"{array}_0")
    assert interruption["saved"]["checkpoint"] >= 2
    alone = Lines(slurm, tmp_path / "alone")
    alone.launch(*line, "beta=0.2")
    assert lines.losses(second) == alone.losses(second)
    assert (lines.points()[1] / "logs" / "attempt-2-rank-0.log").exists()
    assert "3 points: 3 done, 0 queued or running, 0 to submit" in lines.launch(*line, "cluster.wait=false").stdout
