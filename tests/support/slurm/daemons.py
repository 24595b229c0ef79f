"""Daemons as child processes of the tests, and the end of all their processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class ClusterError(Exception):
    """A failure of the cluster; the message has the last lines of the daemons' logs."""


def found(program: str) -> str | None:
    """Return the path of a program, also from the folders of system daemons."""
    return shutil.which(program, path=PATH)


def last_words(folder: Path, lines: int = 15) -> str:
    """Return the last lines of the daemons' logs."""
    logs = sorted(folder.glob("*.log"))
    return "\n".join(
        f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
        for log in logs
        if log.stat().st_size
    )


class Daemons:
    """The daemons of one cluster by name; their logs are in its folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str, **environment: str) -> None:
        """Start a daemon, which the kernel kills when the thread that started it ends."""
        program = found(words[0])
        if program is None:
            raise ClusterError(f"{words[0]} is not installed")
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, *words[1:]],
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the tests; they end the daemons
            )

    def wait(self, name: str, complaint: Callable[[], str], seconds: float = 30) -> None:
        """Wait until `complaint` returns no error. Raises ClusterError if the daemon ends or does not answer."""
        limit = time.monotonic() + seconds
        while said := complaint():
            code = self._running[name].poll()
            if code is not None or time.monotonic() > limit:
                fate = "does not answer" if code is None else f"ended with exit code {code}"
                raise ClusterError(f"{name} {fate}: {said}\n{last_words(self.folder)}")
            time.sleep(0.05)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM, seconds: float = 30) -> None:
        """Send a signal to a daemon and wait for its end."""
        process = self._running.pop(name)
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill_all(self, variable: str) -> None:
        """Kill the daemons and all processes with NAME=VALUE in their environment, such as jobs, until none is left."""
        limit = time.monotonic() + 20
        while alive := set(with_variable(variable)):
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self._running.values():
                process.poll()
            if time.monotonic() > limit:
                raise ClusterError(f"processes {sorted(alive)} do not end")
            time.sleep(0.02)
        for process in self._running.values():
            process.wait()
        self._running.clear()


def with_variable(variable: str) -> Iterator[int]:
    """Yield the processes with NAME=VALUE in their environment and their descendants, except this process."""
    parents: dict[int, int] = {}
    seen: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if state == "Z":
            continue
        parents[int(entry.name)] = int(parent)
        if variable.encode() in environment:
            seen.add(int(entry.name))
    for pid in parents:
        line = [pid]
        while line[-1] in parents and line[-1] not in seen:
            line.append(parents[line[-1]])
        if line[-1] in seen:
            yield pid
