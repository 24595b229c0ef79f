"""Jobs that a real SLURM interrupts, and which continue to the same result."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.lines import LONG, SMALL, Lines
from tests.support.program import launch
from tests.support.slurm.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FAR = 20  # steps before a training is interrupted
NEAR = 5  # steps before a training that is paused at once


@pytest.fixture
def lines(slurm: Cluster, tmp_path: Path) -> Iterator[Lines]:
    own = Lines(slurm, tmp_path)
    yield own
    if live := [job for job in own.jobs() if job]:
        slurm.run("scancel", *live, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The point of LONG, trained without interruption and without SLURM."""
    out = tmp_path_factory.mktemp("undisturbed")
    here = [word for word in LONG if not word.startswith("cluster")]
    done = launch("-m", f"out={out}", "study=s", *here)
    assert done.returncode == 0, done.stderr
    return next(file.parent for file in out.glob("*/*/training.json"))


def weights(point: Path) -> bytes:
    return (point / "adapter" / "adapter_model.safetensors").read_bytes()


def time_limit(lines: Lines) -> None:
    """Send the warning that comes before a time limit; the limit itself is tested once, below."""
    lines.cluster.run("scancel", "--signal=USR2", lines.status()["job_id"])


def kill(lines: Lines) -> None:
    os.kill(lines.status()["pid"], signal.SIGKILL)


def requeue(lines: Lines) -> None:
    lines.cluster.run("scontrol", "requeue", lines.status()["job_id"])


def preempt(lines: Lines) -> None:
    lines.cluster.submit("sleep 1", "-p", "urgent", "-N2", "--exclusive", folder=lines.out)


def node_failure(lines: Lines) -> None:
    node = lines.cluster.job(lines.status()["job_id"])["NodeList"]
    lines.cluster.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    # slurmd may have registered the node again, which SLURM then refuses to resume
    lines.cluster.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)


@pytest.mark.parametrize(
    ("disturb", "times", "causes"),
    [
        (time_limit, 2, ["time_limit", "time_limit"]),
        pytest.param(kill, 1, ["killed"], marks=pytest.mark.exhaustive),
        pytest.param(requeue, 1, ["requeued"], marks=pytest.mark.exhaustive),  # as after a preemption
        (preempt, 1, ["preempted"]),
        pytest.param(node_failure, 1, ["node_failure"], marks=pytest.mark.exhaustive),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_disturbed_training_ends_bit_equal_to_an_undisturbed_one(
    disturb: Callable[[Lines], None], times: int, causes: list[str], lines: Lines, undisturbed: Path
):
    save = ["train.save_steps=10"] if disturb in (kill, node_failure) else []
    if mirrored := disturb is preempt:
        save += ["tracking=wandb", "tracking.mode=offline"]
    lines.launch(*LONG, *save, "cluster.partition=scavenge", "cluster.wait=false")
    for attempt in range(1, times + 1):
        lines.wait_for_attempt(attempt)
        lines.wait_for_steps(FAR * attempt)
        disturb(lines)
        lines.wait_for_interruptions(attempt)
    assert set(lines.wait_for_end().values()) == {"COMPLETED"}
    status = lines.status()
    assert [entry["cause"] for entry in status["interruptions"]] == causes
    assert status["attempts"] == times + 1
    (point,) = lines.points()
    assert weights(point) == weights(undisturbed)
    assert (point / "metrics.jsonl").read_text().count("\n") == len(lines.losses())
    steps = [line.split('"step": ')[1].split(",")[0] for line in (point / "metrics.jsonl").open()]
    assert steps == [str(step + 1) for step in range(len(steps))]  # none repeated, none missing
    assert not (point / "checkpoints").exists()
    runs = [folder.name.rpartition("-")[2] for folder in point.glob("wandb/offline-run-*")]
    assert (len(runs), len(set(runs))) == ((2, 1) if mirrored else (0, 0))  # of one id


def test_a_point_that_is_killed_repeatedly_fails_with_the_setting(lines: Lines):
    lines.launch(*LONG, "cluster.max_attempts.killed=2", "cluster.wait=false")
    for attempt in (1, 2):
        lines.wait_for_attempt(attempt)
        lines.wait_for_steps(1)
        kill(lines)
        lines.wait_for_interruptions(attempt)
    states = lines.wait_for_end()
    assert "FAILED" in states.values()
    assert "cluster.max_attempts.killed=2" in lines.status()["error"]
    assert "1 submitted" in lines.mmdpo("retry", str(lines.folder)).stdout
    lines.wait_for_attempt(3)


@pytest.mark.timeout(900)  # the work of four processes on few cores
def test_two_processes_with_zero_3_save_at_a_time_limit_and_continue(lines: Lines, tmp_path: Path):
    """SLURM's own time limit: its warning, and a job that ends before the limit itself."""
    line = (
        *SMALL,
        "cluster=slurm_zero3",
        "cluster.gpus_per_node=0",
        "cluster.tasks_per_node=2",
        "beta=0.1",
        "stage=train",
    )
    line = (*line, "train.num_train_epochs=5", "train.save_steps=1000", "cluster.wait=false")
    lines.launch(*line)
    lines.wait_for_steps(NEAR, 180)
    # SLURM looks at time limits every 30 s, and its signal wakes a stopped process: training stands still meanwhile.
    os.kill(lines.status()["pid"], signal.SIGSTOP)
    lines.cluster.time_out(lines.status()["job_id"])
    lines.wait_for_interruptions(1)
    assert lines.status()["interruptions"][0]["cause"] == "time_limit"
    lines.cluster.run("scontrol", "update", f"JobId={lines.status()['job_id']}", "TimeLimit=60")
    stopped_at = len(lines.losses())
    assert set(lines.wait_for_end(600).values()) == {"COMPLETED"}
    (point,) = lines.points()
    logs = sorted(file.name for file in (point / "logs").iterdir())
    assert logs == [f"attempt-{attempt}-rank-{rank}.log" for attempt in (1, 2) for rank in (0, 1)]
    calm = Lines(lines.cluster, tmp_path / "calm")
    calm.launch(*line)
    assert set(calm.wait_for_end(600).values()) == {"COMPLETED"}
    assert NEAR <= stopped_at < len(calm.losses())
    assert lines.losses() == pytest.approx(calm.losses(), abs=1e-6)
