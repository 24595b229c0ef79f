"""SLURM's handling of jobs, as far as mmdpo relies on it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm


class Job(NamedTuple):
    """A submitted job and the folder it writes to."""

    id: str
    folder: Path

    def text(self, name: str) -> str:
        """Read one of its files; empty if there is none yet."""
        file = self.folder / name
        return file.read_text() if file.exists() else ""


@pytest.fixture
def timed_out(slurm: Cluster, tmp_path: Path) -> Job:
    """A job whose time runs out."""
    task = 'for s in USR2 TERM; do trap "echo $s \\$(date +%s) >>signals" $s; done; touch started; '
    task += "for i in $(seq 900); do sleep 0.1; done"
    script = f"srun bash -c '{task}'"
    job = Job(slurm.submit(script, "--signal=USR2@10", "--time=60", folder=tmp_path), tmp_path)
    slurm.wait_for((tmp_path / "started").exists, 60, "its step")
    slurm.time_out(job.id)
    return job


def test_an_array_completes_and_is_accounted_for(slurm: Cluster, tmp_path: Path):
    job = slurm.submit("echo $SLURM_ARRAY_TASK_ID", "--array=0-2", "--output=%a.txt", folder=tmp_path)
    slurm.wait_for_state(job, "COMPLETED")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {f"{n}.txt": f"{n}\n" for n in range(3)}
    done = {f"{job}_{index}": "COMPLETED" for index in range(3)}
    slurm.wait_for(lambda: slurm.accounted(job) == done, 60, "three tasks in sacct")


def test_a_failed_job_is_accounted_as_failed(slurm: Cluster, tmp_path: Path):
    job = slurm.submit("exit 3", folder=tmp_path)
    slurm.wait_for_state(job, "FAILED")
    assert slurm.job(job)["ExitCode"] == "3:0"
    slurm.wait_for(lambda: slurm.accounted(job) == {job: "FAILED"}, 60, "the failure in sacct")


def test_srun_starts_two_ranks_that_see_two_gpus(slurm: Cluster, tmp_path: Path):
    script = "srun sh -c 'echo $SLURM_PROCID $SLURM_NTASKS $CUDA_VISIBLE_DEVICES >rank$SLURM_PROCID'"
    job = slurm.submit(script, "--nodes=1", "--ntasks=2", "--gpus-per-node=2", folder=tmp_path)
    slurm.wait_for_state(job, "COMPLETED")
    ranks = [(tmp_path / f"rank{rank}").read_text().split() for rank in range(2)]
    assert [rank[:2] for rank in ranks] == [["0", "2"], ["1", "2"]]
    for _, _, devices in ranks:
        assert len(set(devices.split(","))) == 2


def test_srun_spans_two_nodes(slurm: Cluster, tmp_path: Path):
    script = "srun sh -c 'echo $SLURMD_NODENAME $SLURM_NODEID >rank$SLURM_PROCID'"
    job = slurm.submit(script, "--nodes=2", "--ntasks-per-node=1", folder=tmp_path)
    slurm.wait_for_state(job, "COMPLETED")
    assert [(tmp_path / f"rank{rank}").read_text() for rank in range(2)] == ["n1 0\n", "n2 1\n"]


def test_jobs_on_one_node_never_share_a_gpu(slurm: Cluster, tmp_path: Path):
    script = "echo $CUDA_VISIBLE_DEVICES >gpu$SLURM_ARRAY_TASK_ID; until [ -e go ]; do sleep 0.1; done"
    job = slurm.submit(script, "--array=0-3", "--gpus-per-node=1", "--nodelist=n1", folder=tmp_path)
    slurm.wait_for(lambda: len(list(tmp_path.glob("gpu*"))) == 4, 60, "four jobs at once")
    gpus = slurm.wait_for(lambda: [f.read_text().split() for f in tmp_path.glob("gpu*")], 60, "their GPUs")
    assert sorted(gpus) == [["0"], ["1"], ["2"], ["3"]]
    (tmp_path / "go").touch()
    slurm.wait_for_state(job, "COMPLETED")


def test_a_requeued_task_starts_again_under_its_id(slurm: Cluster, tmp_path: Path):
    script = (
        'echo "$SLURM_ARRAY_TASK_ID restarts:$SLURM_RESTART_COUNT" >>log\n'
        '[ "$SLURM_RESTART_COUNT" ] || { scontrol requeue $SLURM_JOB_ID; sleep 99; }'
    )
    job = slurm.submit(script, "--array=5", folder=tmp_path)
    slurm.wait_for_state(job, "COMPLETED", 30)
    assert (tmp_path / "log").read_text() == "5 restarts:\n5 restarts:1\n"
    assert slurm.job(f"{job}_5")["Restarts"] == "1"

    def accounted() -> bool:
        lines = slurm.run("sacct", "-D", "-X", "-n", "-P", "-o", "State", "-j", job).stdout.split()
        return lines == ["REQUEUED", "COMPLETED"]

    slurm.wait_for(accounted, 60, "accounting of both runs")  # sacct lags behind squeue


@pytest.mark.exhaustive  # the tests of interrupted points see the same of real jobs
def test_a_preempted_job_runs_again_after_the_urgent_one(slurm: Cluster, tmp_path: Path):
    script = "srun sh -c 'trap \"echo TERM >>log; exit\" TERM; touch started; while :; do sleep 0.1; done'"
    script = f'[ "$SLURM_RESTART_COUNT" ] && {{ echo again >>log; exit; }}\n{script}\n'
    script += "echo step over >>log; sleep 99  # one that ended here would be done for good"
    place = ["--nodelist=n2", "--gpus-per-node=4"]
    job = slurm.submit(script, "--partition=scavenge", *place, folder=tmp_path)
    slurm.wait_for((tmp_path / "started").exists, 60, "its step")
    urgent = slurm.submit("echo urgent >>log", "--partition=urgent", *place, folder=tmp_path)
    slurm.wait_for_state(job, "COMPLETED", 60)
    assert (tmp_path / "log").read_text().splitlines() == ["TERM", "step over", "urgent", "again"]
    assert set(slurm.job_states(urgent).values()) == {"COMPLETED"}
    lines = slurm.run("sacct", "-D", "-X", "-n", "-P", "-o", "State", "-j", job).stdout.split()
    assert lines[0] == "PREEMPTED"


@pytest.mark.exhaustive
def test_a_job_out_of_time_is_warned_first(slurm: Cluster, timed_out: Job):
    slurm.wait_for_state(timed_out.id, "TIMEOUT", 80)
    signals = [line.split() for line in timed_out.text("signals").splitlines()]
    assert [name for name, _ in signals][:2] == ["USR2", "TERM"]
    assert 25 < int(signals[1][1]) - int(signals[0][1]) < 65
    slurm.wait_for(lambda: slurm.accounted(timed_out.id) == {timed_out.id: "TIMEOUT"}, 60, "it in sacct")
