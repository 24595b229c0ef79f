"""W&B online and offline: keys, modes, and servers and services that fail."""

import shutil
import socket
import time
from pathlib import Path
from typing import get_args

import pytest

from mmdpo import wandb_service
from mmdpo.config.choices import WandbMode
from mmdpo.wandb_runs import run_id
from mmdpo.wandb_service import Mode
from tests.support.tracking import KEY, inspect, lines, messages, run_alone, tracker, transaction_log
from tests.support.wandb_server import wandb_server

pytestmark = pytest.mark.usefixtures("online_again", "ended_service")


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
