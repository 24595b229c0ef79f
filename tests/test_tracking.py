"""The metrics in files and in W&B, and errors of W&B that must not stop a run."""

import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from mmdpo import provenance, wandb_service
from mmdpo.config.choices import WandbMode
from mmdpo.entry.compose import compose_config
from mmdpo.pipeline import point_stages
from mmdpo.points import point as points
from mmdpo.tracking import Tracker
from mmdpo.wandb_runs import run_id
from mmdpo.wandb_service import Mode
from tests.support.wandb_server import wandb_server

KEY = "0123456789abcdef" * 3


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_service, "_online_failed", False)


@pytest.fixture(scope="module", autouse=True)
def _service() -> Iterator[None]:
    """End W&B's service, which programs started by other tests would find and share."""
    yield
    import wandb

    wandb.teardown()


def tracker(
    folder: Path, mode: Mode = "none", run_id: str | None = "abc123", host: bool = False, **config: Any
) -> Tracker:
    return Tracker(
        folder,
        mode=mode,
        project="test",
        entity=None,
        run_id=run_id,
        name="dpo-beta0.1",
        study="beta_lr_grid",
        job_type="train",
        tags=["dpo", "mine"],
        config={"beta": 0.1, **config},
        host=host,
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def transaction_log(folder: Path) -> Path:
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    return path


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that the tracker itself logged."""
    return [record.getMessage() for record in caplog.records if record.name == "mmdpo.tracking"]


def inspect(path: Path, *options: str) -> str:
    """The content of an offline file, read by W&B's own reader."""
    from wandb.util import get_core_path

    options = ("--no-observability", "--json", *options, "--run-file", str(path))
    command = [get_core_path(), "leet", "inspect", *options, str(path.parents[1])]  # `wandb leet`, without its import
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def run_alone(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the code in a separate process, without a terminal and with an empty standard input."""
    prelude = (
        "import sys; from pathlib import Path; from mmdpo.tracking import Tracker\n"
        "def start(folder, mode):\n"
        "    return Tracker(Path(folder), mode=mode, project='mmdpo', entity=None, run_id='abc', name='n',\n"
        "        study='s', job_type='train', tags=[], config={})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        env={name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} | environment,
        start_new_session=True,
    )


def test_lines_are_json_for_all_numbers(tmp_path: Path) -> None:
    with tracker(tmp_path) as run:
        run.log({"loss": 0.5, "rewards/margins": 1}, 1)
        run.log({"loss": math.nan, "grad_norm": math.inf}, 2)
    text = (tmp_path / "metrics.jsonl").read_text("utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    assert lines(tmp_path) == [
        {"step": 1, "loss": 0.5, "rewards/margins": 1.0},
        {"step": 2, "loss": None, "grad_norm": None},
    ]


def test_a_line_is_on_disk_at_once(tmp_path: Path) -> None:
    run = tracker(tmp_path)
    run.log({"loss": 0.5}, 1)
    assert lines(tmp_path) == [{"step": 1, "loss": 0.5}]
    run.finish(ok=True)


def test_a_resumed_run_holds_each_step_once(tmp_path: Path) -> None:
    first = tracker(tmp_path)
    for step in range(1, 6):
        first.log({"loss": step}, step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # the process was killed here
    second = tracker(tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]
    second.resumed(3)
    for step in range(4, 8):
        second.log({"loss": step}, step)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["loss"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    second.resumed(-1)
    assert lines(tmp_path) == []


def test_the_offline_file_holds_the_metrics(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with tracker(tmp_path, "offline") as run:
        for step in range(1, 21):
            run.log({"loss": 1 / step}, step)
        run.summary({"text": 6.5, "visual": 7.0})
    capfd.readouterr()  # drop the output of W&B
    seen = json.loads(inspect(transaction_log(tmp_path), "--summary"))
    assert (seen["run_id"], seen["name"], seen["project"]) == ("abc123", "dpo-beta0.1", "test")
    assert seen["tags"] == ["dpo", "mine"]
    assert seen["config"]["beta"] == 0.1
    assert seen["exit_code"] == 0
    assert seen["state"] == "finished"
    assert seen["console"] == []
    assert (seen["summary"]["text"], seen["summary"]["visual"]) == (6.5, 7.0)
    records = [json.loads(line) for line in inspect(transaction_log(tmp_path)).splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(item["train/global_step"], item["train/loss"]) for item in history] == [
        (line["step"], pytest.approx(line["loss"])) for line in lines(tmp_path)
    ]
    about = next(record["run"] for record in records if record["type"] == "run")
    assert (about["run_group"], about["job_type"]) == ("beta_lr_grid", "train")


@pytest.mark.parametrize("host", [False, True])
def test_only_the_run_is_recorded_and_the_host_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: bool
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("MY_TOKEN", "very-secret-value")
    with tracker(tmp_path, "offline", host=host, url="http://x/?t=very-secret-value") as run:
        run.log({"loss": 1}, 1)
    kept = [path for path in (tmp_path / "wandb").rglob("*") if path.is_file()]
    # no code and no patch in either case
    assert {path.name for path in kept if path.suffix not in (".wandb", ".log")} == (
        {"run.json", "requirements.txt"} if host else {"run.json"}
    ) - {"run.json"}
    for path in kept:
        content = path.read_bytes()
        assert KEY.encode() not in content
        assert b"very-secret-value" not in content
    seen = inspect(transaction_log(tmp_path))
    assert "http://x/?t=$MY_TOKEN" in seen
    commit = (provenance.git_commit() or "").removesuffix("-dirty")
    assert (commit in seen and platform.node() in seen) == host


def test_a_failed_run_is_marked(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), tracker(tmp_path, "offline"):
        raise RuntimeError("out of memory")
    assert json.loads(inspect(transaction_log(tmp_path), "--summary"))["exit_code"] == 1


def test_several_runs_in_one_process_cost_little(tmp_path: Path) -> None:
    tracker(tmp_path / "first", "offline").finish(ok=True)
    started = time.monotonic()
    for point in range(5):
        with tracker(tmp_path / str(point), "offline") as run:
            run.log({"loss": 1}, 1)
    assert time.monotonic() - started < 5  # measured: 0.1 s
    assert len(list(tmp_path.glob("*/wandb/offline-run-*/*.wandb"))) == 6


class BrokenRun:
    """A W&B run whose every call fails."""

    url = "x"

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError(f"no {name}, key {KEY}\nsecond line")


def test_broken_at_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import wandb

    def init(**_: object) -> None:
        raise ConnectionError(f"ill {KEY}\nsecond line")

    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb, "init", init)
    with tracker(tmp_path, "offline") as run:
        run.log({"loss": 1}, 1)
        run.summary({"text": 1})
    assert lines(tmp_path) == [{"step": 1, "loss": 1.0}]
    (line,) = messages(caplog)
    assert "ConnectionError: ill $WANDB_API_KEY" in line
    assert "\n" not in line


@pytest.mark.parametrize("calls", [("log", "summary"), ("summary",), ()])
def test_broken_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    calls: tuple[str, ...],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_service, "start_run", lambda *_: BrokenRun())
    with tracker(tmp_path, "offline") as run:
        for step in range(3):
            if "log" in calls:
                run.log({"loss": 1}, step)
        if "summary" in calls:
            run.summary({"text": 1})
    assert len(messages(caplog)) == 1
    assert KEY not in caplog.text
    assert (tmp_path / "metrics.jsonl").exists() == ("log" in calls)
    if "log" in calls:
        assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2]


@pytest.mark.long
def test_a_server_that_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both a closed port and one that never answers end offline; later runs do not wait again."""
    import wandb

    monkeypatch.setattr(wandb_service, "SERVER_SECONDS", 2.0)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        for name, listening in (("closed", False), ("deaf", True)):
            if listening:
                deaf.listen()
            wandb.teardown()  # W&B reads its environment once
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
            monkeypatch.setattr(wandb_service, "_online_failed", False)
            caplog.clear()
            started = time.monotonic()
            for point in range(3):
                with tracker(tmp_path / name / str(point), "auto") as run:
                    run.log({"loss": point}, 1)
            assert time.monotonic() - started < 20
            assert len([line for line in messages(caplog) if "kept offline" in line]) == 1
            for point in range(3):
                assert transaction_log(tmp_path / name / str(point)).stat().st_size > 0
                assert lines(tmp_path / name / str(point)) == [{"step": 1, "loss": float(point)}]
    wandb.teardown()


def test_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A run reaches the server; a server that stops answering delays the end only until its timeout."""
    import wandb

    monkeypatch.setattr(wandb_service, "FINISH_SECONDS", 2.0)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with wandb_server() as server:
        wandb.teardown()  # W&B reads its environment once
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with tracker(tmp_path / "good", "auto") as run:
            run.log({"loss": 0.5}, 1)
            run.log({"loss": 0.25}, 2)
        assert [(line["_step"], line["train/loss"]) for line in server.history] == [(1, 0.5), (2, 0.25)]
        assert server.exit_codes == [0]
        assert messages(caplog) == []
        run = tracker(tmp_path / "silent", "auto")
        server.deaf.set()
        run.log({"loss": 0.5}, 1)
        started = time.monotonic()
        run.finish(ok=True)
        assert time.monotonic() - started < 10
        assert len(messages(caplog)) == 1
        assert len(lines(tmp_path / "silent")) == 1
        assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        wandb.teardown()


def test_no_key_and_no_terminal(tmp_path: Path) -> None:
    code = "".join(
        f"with start({str(tmp_path / mode)!r}, {mode!r}) as run: run.log({{'a': 1}}, 1)\n"
        for mode in ("auto", "online")
    )
    done = run_alone(code)
    assert done.returncode == 0
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if "no key was found" in line] == done.stderr.splitlines()
    assert len(done.stderr.splitlines()) == 1  # of the mode online alone
    assert transaction_log(tmp_path / "auto").exists()
    assert transaction_log(tmp_path / "online").exists()


def test_without_tracking_wandb_is_not_imported(tmp_path: Path) -> None:
    code = (
        f"start({str(tmp_path)!r}, 'none').log({{'a': 1}}, 1); import os; os.environ['WANDB_MODE'] = 'disabled'\n"
        f"start({str(tmp_path)!r}, 'auto'); assert 'wandb' not in sys.modules"
    )
    done = run_alone(code, WANDB_MODE="")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path) == [{"step": 1, "a": 1.0}]
    assert not (tmp_path / "wandb").exists()


def test_the_users_own_mode_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with tracker(tmp_path, "online") as run:
        run.log({"a": 1}, 1)
    assert transaction_log(tmp_path).exists()


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps finds W&B's service")
def test_the_death_of_its_service_does_not_stop_a_run(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, time\n"
        f"run = start({str(tmp_path / 'first')!r}, 'offline'); run.log({{'a': 0}}, 0)\n"
        "me = str(os.getpid())\n"
        "found = subprocess.run(['ps', '-o', 'pid=,comm=', '--ppid', me], capture_output=True)\n"
        "pids = [line.split()[0] for line in found.stdout.splitlines() if b'wandb-core' in line]\n"
        "os.kill(int(pids[0]), signal.SIGKILL); time.sleep(0.3)\n"
        "[run.log({'a': step}, step) for step in range(1, 50)]; run.finish(True)\n"
        f"with start({str(tmp_path / 'next')!r}, 'offline') as run: run.log({{'a': 0}}, 0)\n"
        "print('through')\n"
    )
    done = run_alone(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "through\n", done.stderr
    assert len(lines(tmp_path / "first")) == 50
    assert done.stderr.count("continues without it") == 1
    logs = (tmp_path / "next").glob("wandb/offline-run-*/*.wandb")  # the next run of the process has W&B again
    assert any('"history"' in inspect(path) for path in logs)


def test_the_modes_are_those_of_the_schema() -> None:
    assert set(get_args(Mode)) == {mode.value for mode in WandbMode}


@pytest.mark.long
def test_a_run_that_was_deleted_on_the_server_is_continued_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server never accepts its id again. The point gets a new one, and later points stay online."""
    import wandb

    monkeypatch.setattr(wandb_service, "SERVER_SECONDS", 3.0)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with wandb_server() as server:
        wandb.teardown()  # W&B reads its environment once
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        deleted = run_id(tmp_path / "first")
        server.deleted.add(deleted)
        for name in ("first", "second"):
            with tracker(tmp_path / name, "auto", run_id=None) as run:
                run.log({"loss": 0.5}, 1)
        wandb.teardown()
    assert len(server.history) == 2
    (message,) = messages(caplog)
    assert f"wandb sync --id {run_id(tmp_path / 'first')} " in message
    started = {one.get("name") for one in server.started}
    assert {deleted, run_id(tmp_path / "first"), run_id(tmp_path / "second")} <= started


def test_a_run_has_the_metric_names_of_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers' callback sends for a log entry of TRL, and the x-axis that it defines."""
    import wandb
    from transformers.integrations.integration_utils import WandbCallback

    class Recorder:
        def __init__(self) -> None:
            self.logged: list[dict[str, Any]] = []
            self.defined: list[Any] = []
            self.starting_step = 0

        def log(self, values: dict[str, Any], step: int | None = None) -> None:
            self.logged.append(dict(values))

        def define_metric(self, name: str, **options: Any) -> None:
            self.defined.append((name, options))

        def finish(self, exit_code: int) -> None: ...

    theirs, ours = Recorder(), Recorder()
    entry = {"loss": 0.5, "rewards/margins": 0.1, "learning_rate": 1e-4, "epoch": 0.5}
    callback = WandbCallback()
    monkeypatch.setattr(callback, "_wandb", theirs)
    monkeypatch.setattr(callback, "_initialized", True)
    callback.on_log(None, SimpleNamespace(is_world_process_zero=True, global_step=3), None, logs=entry)
    monkeypatch.setattr(wandb_service, "start_run", lambda *_: ours)
    with tracker(tmp_path, "offline") as run:
        run.log(entry, 3)
    assert ours.logged == theirs.logged
    assert ours.defined == [("train/global_step", {}), ("*", {"step_metric": "train/global_step", "step_sync": True})]
    assert wandb.run is None


def test_a_training_that_was_taken_over_shows_its_curves(tmp_path: Path) -> None:
    """Of a run that is started again nothing is sent twice."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n{"step": 3, "l')
    with tracker(tmp_path, "offline") as run:
        run.replay()
        run.replay()
    with tracker(tmp_path, "offline") as run:
        run.replay()
    first, second = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    records = [json.loads(line) for line in inspect(first).splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(item["train/global_step"], item["train/loss"]) for item in history] == [(1, 0.5), (2, "NaN")]
    assert '"history"' not in inspect(second)


def test_of_an_untrained_model_the_sweeps_settings_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base is measured for all points of a sweep: the values of the first of them are not its own."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(point_stages, "Tracker", lambda folder, **values: made.append(values))
    config = compose_config([f"out={tmp_path}", "beta=0.3", "tracking.tags=[mine]"])
    for p in (points.point(config), *points.baselines(config)):
        point_stages._tracker(p)
    trained, *untrained = made
    assert trained["tags"] == ["trained", "dpo", "nano", "nano", "mine"]
    assert (trained["config"]["beta"], trained["job_type"]) == (0.3, "train")
    assert [one["tags"] for one in untrained] == [["base", "nano", "mine"], ["before_visual_tuning", "nano", "mine"]]
    for one in untrained:
        assert not {"beta", "lr", "seed", "method", "train"} & one["config"].keys()
        assert "path" in one["config"]["model"]
        assert "lora" not in one["config"]["model"]
        assert {"bench", "study", "point"} <= one["config"].keys()
    assert [one["config"].get("data_scale") for one in untrained] == [0.0, None]
