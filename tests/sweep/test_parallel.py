"""Parallel points on one machine: assignment of GPUs, death of processes, and equal results."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Stopped, UserError
from mmdpo.files import file_fingerprint, read_json
from mmdpo.points.point import Point, point
from mmdpo.points.status import State, read_status, start
from mmdpo.sweep import parallel, run_point
from mmdpo.sweep.parallel import devices, run_parallel
from tests.support.program import launch, start_program

LOCAL = "cluster=local_parallel"


def small_work(*arguments):
    """The worker's process with a stand-in for training; `seed` decides the outcome of the point."""
    run_point.run_point = small_point
    work(*arguments)


work = parallel.work


def small_point(p: Point, stage: Stage) -> str | None:
    start(p.folder)
    said = [os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS"), os.getpid()]
    (p.folder / "seen").write_text(" ".join(map(str, said)))
    print("printed by", p.name)
    match p.config.seed:
        case 0:
            os.kill(os.getpid(), signal.SIGKILL)
        case 1:
            raise Stopped("the budget is spent")
        case 2:
            return "it failed"
        case 3:
            os._exit(7)
        case 4:
            time.sleep(60)
    time.sleep(0.3)  # so that both processes get points
    return None


def points(tmp_path: Path, *seeds: int, overrides: tuple[str, ...] = ("cluster.array_parallelism=2",)) -> list[Point]:
    out = [f"out={tmp_path}", LOCAL, *overrides]
    found = [point(compose_config([*out, f"seed={seed}"])) for seed in seeds]
    for p in found:
        p.folder.mkdir(parents=True)
    return found


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(parallel, "work", small_work)


def test_a_dying_process_loses_its_point_alone(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(parallel, "work", small_work)
    asked = points(tmp_path, 0, 10, 2, 3, 11, 12)
    errors = run_parallel(asked, Stage.experiment)
    names = {p.folder: p.config.seed for p in asked}
    assert {names[folder]: reason.split(";")[0] for folder, reason in errors.items()} == {
        0: "its process ended by signal SIGKILL",
        2: "it failed",
        3: "its process ended by exit code 7",
    }
    killed = read_status(asked[0].folder)
    assert killed.state is State.failed
    assert [one["cause"] for one in killed.interruptions] == ["killed"]
    printed = capfd.readouterr()
    assert "[6/6]" in printed.out
    assert "printed by" not in printed.out + printed.err
    for p in asked:
        log = p.folder / "logs" / "attempt-1-rank-0.log"
        assert f"printed by {p.name}" in log.read_text() or p.config.seed in (0, 3)  # died before it flushed


def test_no_two_points_share_a_gpu(tmp_path, gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    asked = points(tmp_path, 10, 11, 12, 13, overrides=())
    assert run_parallel(asked, Stage.experiment) == {}
    seen = {tuple((p.folder / "seen").read_text().split()) for p in asked}
    assert {device for device, *_ in seen} == {"5", "GPU-7"}
    assert len(seen) == 2  # two processes, a GPU each, two points each


def test_threads_of_nobodys_choice_share_the_cores(tmp_path, gpus, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(6))
    asked = points(tmp_path, 10, 11, overrides=("cluster.threads=null",))
    run_parallel(asked, Stage.experiment)
    assert {(p.folder / "seen").read_text().split()[1] for p in asked} == {"3"}


def test_a_limit_stops_what_has_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "work", small_work)
    asked = points(tmp_path, 1, 10, 11, 12, 13, 14)
    with pytest.raises(Stopped, match="budget"):
        run_parallel(asked, Stage.experiment)
    begun = [p for p in asked if (p.folder / "seen").exists()]
    assert 2 <= len(begun) < 6


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ([], ["0", "1"]),
        (["cluster.array_parallelism=1"], ["0"]),
        (["cluster.gpus_per_node=0", "cluster.array_parallelism=3"], ["", "", ""]),
    ],
)
def test_gpus_are_dealt_out(overrides, found, gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices(compose_config([LOCAL, *overrides]).cluster) == found


def test_more_points_at_once_than_gpus_are_refused(gpus):
    with pytest.raises(UserError, match=r"there are 2 GPUs.*type cluster.array_parallelism=2"):
        devices(compose_config([LOCAL, "cluster.array_parallelism=3"]).cluster)


@pytest.mark.parametrize(("threads", "count"), [("1", 6), ("4", 1), ("null", 1)])
def test_without_gpus_the_cores_decide(threads, count, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(6))
    assert devices(compose_config([LOCAL, f"cluster.threads={threads}"]).cluster) == [None] * count


LINE = [
    *("data.prompts=80", "bench.items=16", "bench.resamples=100", "bench.tasks=[text]"),
    *("tracking=none", "cluster.threads=1"),
]


@pytest.mark.slow
@pytest.mark.long
def test_the_results_are_those_of_one_after_another(tmp_path):
    own_cache = {"local": {}, "local_parallel": {"MMDPO_CACHE": str(tmp_path / "cache")}}
    for cluster, environment in own_cache.items():
        done = launch("-m", "beta=0.1,0.3", f"cluster={cluster}", *LINE, f"out={tmp_path / cluster}", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
    folders = {path.parent.name for path in (tmp_path / "local/nano").glob("*/result.json")}
    assert len(folders) == 4
    for name in folders:
        one, other = (tmp_path / cluster / "nano" / name for cluster in ("local", "local_parallel"))
        assert read_json(one / "result.json")["scores"] == read_json(other / "result.json")["scores"]
        for weights in one.rglob("adapter_model.safetensors"):
            assert file_fingerprint(weights) == file_fingerprint(other / weights.relative_to(one))
    again = launch("-m", "beta=0.1,0.3", LOCAL, *LINE, f"out={tmp_path / 'local_parallel'}")
    assert "4 points: 4 done, 0 to run" in again.stdout


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_stays_behind_and_the_line_goes_on(tmp_path, number):
    line = [
        "-m",
        "beta=0.1,0.2",
        LOCAL,
        "cluster.array_parallelism=2",
        *LINE,
        "train.num_train_epochs=30",
        f"out={tmp_path}",
    ]
    program = start_program("launch.py", *line, "train.save_steps=1000")
    while len(list(tmp_path.glob("nano/dpo*/metrics.jsonl"))) < 2:  # both train
        time.sleep(0.2)
        assert program.poll() is None
    session = program.pid
    if number is signal.SIGINT:
        os.killpg(session, number)  # as the terminal does it
    else:
        program.kill()
    printed = program.communicate(timeout=90)[0]
    end = time.monotonic() + 60
    while subprocess.run(["pgrep", "-s", str(session)], capture_output=True).stdout:
        assert time.monotonic() < end, "processes stayed behind"
        time.sleep(0.5)
    if number is signal.SIGINT:
        assert program.returncode == 130
        assert "save their state" in printed
    for folder in tmp_path.glob("nano/dpo*"):
        stopped = read_status(folder)
        assert (stopped.state, stopped.interruptions[-1]["cause"]) == (State.interrupted, "terminated")
        assert list(folder.glob("checkpoints/*"))  # saved when it was asked to stop
