"""Servers that this process starts: they answer, die, or keep silent, and leave no process behind."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from mmdpo.config.schema import ServerConfig
from mmdpo.errors import UserError
from mmdpo.models import server_process
from mmdpo.models.server_process import start_server
from tests.support.processes import start, until

SERVER = f"{sys.executable} -m mmdpo.testing.fake_openai --port {{port}} --served-model-name {{model}}"
VALUES = {"model": "m", "point": "p", "adapter": None}


def gone(pid: int, seconds: float = 10.0) -> bool:
    limit = time.monotonic() + seconds
    while psutil.pid_exists(pid) and time.monotonic() < limit:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_a_server_answers_and_is_stopped_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy does not see this machine
    child = tmp_path / "child"
    settings = ServerConfig(command=f"{SERVER} --start-delay 0.1 --child {child}")
    process, name = start_server("bench.server", settings, VALUES, tmp_path / "logs" / "server.log")
    assert name == "m"
    assert not gone(int(child.read_text()), 0)
    process.require_running()
    process.close()
    assert gone(int(child.read_text()))
    assert "127.0.0.1" in (tmp_path / "logs" / "server.log").read_text()
    process.close()  # a second time


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        ("sh -c 'echo {model} {port} boom; exit 3'", ("bench.server.command", "exit code 3", "boom", "server.log")),
        ("absent-program {model} {port}", ("bench.server.command", "absent-program", "No such file")),
        (SERVER.replace("{model}", "other{model}"), ("lists otherm, not m", "--served-model-name")),
        ("sh -c 'sleep 600; {model} {port}'", ("bench.server.start_timeout=0.3",)),
    ],
)
def test_a_server_that_does_not_serve_is_described(command: str, facts: tuple[str, ...], tmp_path: Path) -> None:
    settings = ServerConfig(command=command, start_timeout=0.3 if "start_timeout" in facts[0] else 60.0)
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    (tmp_path / "server.log").write_text("of the server before\n")
    with pytest.raises(UserError) as raised:
        start_server("bench.server", settings, VALUES, tmp_path / "server.log")
    assert "of the server before" not in str(raised.value)
    assert all(fact in str(raised.value) for fact in facts)
    assert {one.pid for one in psutil.Process().children(recursive=True)} == before


def test_a_key_that_the_server_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdpo.testing.fake_openai import fake_openai

    with fake_openai() as server:
        server.reply = lambda call: server._error("bad_key", key="x")  # type: ignore[method-assign]
        monkeypatch.setattr(server_process, "free_port", lambda: server.server_port)
        with pytest.raises(UserError, match=r"bench\.server\.api_key"):
            start_server("bench.server", ServerConfig(command="sleep 60"), VALUES, tmp_path / "log")


def test_a_process_that_is_killed_leaves_no_server(tmp_path: Path) -> None:
    child = tmp_path / "child"
    words = [sys.executable, "-m", "mmdpo.testing.fake_openai", "--port", "0", "--child", str(child)]
    one = start(
        "from mmdpo.models.server_process import ServerProcess\n"
        f"server = ServerProcess('k', {words!r}, 0, Path({str(tmp_path / 'log')!r})); time.sleep(60)"
    )
    until(child)
    while not child.read_text():
        time.sleep(0.01)
    one.send_signal(signal.SIGKILL)
    one.wait(10)
    assert gone(int(child.read_text()))
