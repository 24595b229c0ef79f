"""Run the project's programs as a user does, without waiting for their imports.

Programs are forked from a process that has imported the libraries (tests/support/fork_server.py). `real=True` starts
the interpreter itself, for tests of what is imported and of the command as it is typed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support import fork_server

ROOT = Path(__file__).resolve().parents[2]
FORKS = sys.platform == "linux"  # elsewhere libraries do not survive a fork


def program(
    *arguments: str, cwd: Path = ROOT, timeout: int = 280, real: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` to its end; returns the completed process with its output as text."""
    return completed(start_program(*arguments, cwd=cwd, environment={**os.environ, **environment}, real=real), timeout)


def launch(*overrides: str, real: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python launch.py OVERRIDES` to its end."""
    return completed(start_program("launch.py", *overrides, environment={**os.environ, **environment}, real=real))


def completed(process: Program, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Wait for a program's end and return its output. It is killed when the time is over."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout)
        except BaseException:
            process.kill()
            raise
    code = process.returncode
    assert code is not None
    return subprocess.CompletedProcess(process.args, code, stdout, stderr)


def start_program(
    *arguments: str,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    merge: bool = False,
    real: bool = False,
) -> Program:
    """Start `python ARGUMENTS` in a session of its own.

    Args:
        arguments: A script, `-m MODULE` or `-c CODE`, and its arguments.
        cwd: The folder to run in.
        environment: All its variables; None for those of this process.
        merge: Send standard error to standard output.
        real: Start a new interpreter rather than a fork.

    Returns:
        The running program.
    """
    variables = dict(os.environ if environment is None else environment)
    server = None if real or not FORKS else _server()
    if server is not None and not fork_server.fits(variables, server.environment):
        server = None
    return Program(list(arguments), cwd, variables, merge, server)


class Program:
    """A running program: the part of subprocess.Popen that tests use. Output goes to files until it is asked for."""

    def __init__(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], merge: bool, server: _Server | None
    ) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (read and closed by `communicate` and `close`)
        self._err: IO[bytes] = self._out if merge else tempfile.TemporaryFile()  # noqa: SIM115
        with open(os.devnull, "rb") as empty:
            streams = [empty.fileno(), self._out.fileno(), self._err.fileno()]
            if server is None:
                self._connection, self._process = (
                    None,
                    subprocess.Popen(
                        [sys.executable, *arguments],
                        cwd=cwd,
                        env=environment,
                        stdin=empty,
                        stdout=self._out,
                        stderr=self._err,
                        start_new_session=True,
                    ),
                )
                self.pid = self._process.pid
            else:
                self._connection, self.pid = server.fork(arguments, cwd, environment, streams)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if self._connection is None:
                self.returncode = self._process.wait(timeout)
            else:
                ready, _, _ = select.select([self._connection], [], [], timeout)
                if not ready:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                self.returncode = int(self._connection.recv(fork_server.MESSAGE_BYTES))
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return what was written to standard output and standard error."""
        self.wait(timeout)
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read().decode())
        return texts[0], "" if self._err is self._out else texts[1]

    def output(self) -> str:
        """Return what it has written to standard output so far."""
        return os.pread(self._out.fileno(), os.fstat(self._out.fileno()).st_size, 0).decode()

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *error: object) -> None:
        self.wait()
        self.close()

    def close(self) -> None:
        """Close the files of its output; a forked program that still runs is killed."""
        for resource in (self._out, self._err, self._connection):
            if resource is not None:
                resource.close()


class _Server:
    """The server of this process, which ends with it."""

    def __init__(self) -> None:
        self.environment = {**fork_server.PASSIVE, **os.environ}
        self.owner = os.getpid()
        self._folder = Path(tempfile.mkdtemp(prefix="mmdpo-fork-"))  # short: sockets allow 107 characters
        self._path = str(self._folder / "socket")
        self._log = self._folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, fork_server.__file__, self._path],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.end)

    def fork(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], streams: list[int]
    ) -> tuple[socket.socket, int]:
        """Start a program; returns the connection that brings its exit code, and its pid."""
        request = {"arguments": arguments, "cwd": str(cwd), "environment": environment}
        connection = self._connect()
        socket.send_fds(connection, [fork_server.json.dumps(request).encode()], streams)
        pid = connection.recv(fork_server.MESSAGE_BYTES)
        assert pid, f"the fork server has ended:\n{self._log.read_text()}"
        return connection, int(pid)

    def _connect(self, seconds: float = 120) -> socket.socket:
        limit = time.monotonic() + seconds
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        while True:
            try:
                connection.connect(self._path)
                return connection
            except OSError:
                code = self._process.poll()
                if code is not None or time.monotonic() > limit:
                    raise RuntimeError(f"the fork server does not answer ({code}):\n{self._log.read_text()}") from None
                time.sleep(0.05)

    def end(self) -> None:
        """End the server."""
        if os.getpid() == self.owner:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(10)
            shutil.rmtree(self._folder, ignore_errors=True)


_running: list[_Server] = []


def _server() -> _Server:
    """Return the server of this process, started for the first program."""
    if not _running or _running[0].owner != os.getpid():
        _running[:] = [_Server()]
    return _running[0]
