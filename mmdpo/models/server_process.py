"""A server that this process starts, waits for, and stops with all its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import httpx2

from mmdpo.clients.keys import api_key
from mmdpo.config.schema import GeneratorConfig, ServerConfig
from mmdpo.console import print_line
from mmdpo.env_secrets import redacted
from mmdpo.errors import UserError
from mmdpo.models import process_guard
from mmdpo.models.server_command import command_words, served_name

TAIL_LINES, TAIL_CHARACTERS = 15, 2000  # of the log in an error
LOOK_SECONDS = 0.1  # between two looks at a server that starts; doubled up to
LOOK_LONGEST = 2.0
STOP_SECONDS = process_guard.GRACE_SECONDS + 5
OF_THIS_PROCESS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of a training with several processes, which the server's own processes would misread."""


def free_port() -> int:
    """Return a port of this machine that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class ServerProcess:
    """A running server. Whatever ends this process ends the server, too (mmdpo/models/process_guard.py)."""

    def __init__(self, key: str, words: Sequence[str], port: int, log: Path) -> None:
        """Start the command.

        Args:
            key: The config's node in messages, `bench.server` or `generator`.
            words: The command.
            port: The port on which it will answer.
            log: The file that its output is appended to.
        """
        self._key, self.base_url, self.log = key, f"http://127.0.0.1:{port}/v1", log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._start = log.stat().st_size if log.exists() else 0
        environment = {name: value for name, value in os.environ.items() if name not in OF_THIS_PROCESS}
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, "-P", process_guard.__file__, *words],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal reaches this process alone, which then stops it
            )

    def wait_until_ready(self, name: str, secret: str, seconds: float) -> None:
        """Wait until the server lists a model.

        Args:
            name: The name of the model.
            secret: The API key.
            seconds: The longest wait.

        Raises:
            UserError: The command ended, does not answer in time, or serves other models. The server is stopped.
        """
        try:
            print_line(f"waiting for the server of {self._key}.command; its log: {self.log}")
            names = self._listed(secret, seconds)
            if name not in names:
                raise UserError(
                    f"{self._key}.command: the server lists {', '.join(names) or 'no model'}, not {name}. Name the "
                    "model {model} or {point} in the command, as in --served-model-name {point}"
                )
        except BaseException:
            self.close()
            raise

    def require_running(self) -> None:
        """Raise UserError with the last lines of the log if the command has ended."""
        code = self._guard.poll()
        if code is not None:
            raise UserError(
                f"{self._key}.command: the server ended with exit code {code}. The end of its log {self.log}:\n"
                f"{self._tail()}\nChange {self._key}.command= and rerun the same command; finished answers are kept"
            )

    def close(self) -> None:
        """Stop the server with all its children."""
        stdin: IO[bytes] | None = self._guard.stdin
        if stdin is not None:
            with suppress(OSError):
                stdin.close()
        try:
            self._guard.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()

    def _listed(self, secret: str, seconds: float) -> list[str]:
        """Return the names of the served models, as soon as the server tells them."""
        deadline, wait = time.monotonic() + seconds, LOOK_SECONDS
        headers = {"authorization": f"Bearer {secret}"}
        with httpx2.Client(trust_env=False, timeout=5.0, headers=headers) as client:
            while True:
                self.require_running()
                with suppress(httpx2.HTTPError):
                    reply = client.get(f"{self.base_url}/models")
                    if reply.status_code in (401, 403):
                        raise UserError(
                            f"{self._key}.api_key: the server refuses the key; name the environment variable that "
                            f"holds it, as in {self._key}.api_key=[VLLM_API_KEY]"
                        )
                    if reply.status_code == 200:
                        return _names(reply)
                if time.monotonic() > deadline:
                    raise UserError(
                        f"{self._key}.start_timeout={seconds:g}: the server does not answer at {self.base_url}/models "
                        f"within this time. The end of its log {self.log}:\n{self._tail()}\nType a longer "
                        f"{self._key}.start_timeout=SECONDS, or change {self._key}.command="
                    )
                time.sleep(wait)
                wait = min(2 * wait, LOOK_LONGEST)

    def _tail(self) -> str:
        with self.log.open("rb") as file:
            file.seek(max(self._start, file.seek(0, os.SEEK_END) - 65536))
            lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        return str(redacted("\n".join(lines)))[-TAIL_CHARACTERS:]


def _names(reply: httpx2.Response) -> list[str]:
    try:
        return [str(model["id"]) for model in reply.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def start_server(
    key: str, settings: GeneratorConfig | ServerConfig, values: Mapping[str, str | None], log: Path
) -> tuple[ServerProcess, str]:
    """Start a server by the command of the settings, and wait until it answers.

    Args:
        key: The config's node in messages, `bench.server` or `generator`.
        settings: The command, the key and the longest wait.
        values: The values of the command's fields but the port; None for an absent adapter.
        log: The file that the server's output is appended to.

    Returns:
        The server, and its name of the model.

    Raises:
        UserError: It does not start; the message holds the end of its log.
    """
    port, command = free_port(), settings.command or ""
    values = {**values, "port": str(port)}
    process = ServerProcess(key, command_words(command, values), port, log)
    name = served_name(command, values)
    process.wait_until_ready(name, api_key(settings.api_key, key, process.base_url), settings.start_timeout)
    return process, name
