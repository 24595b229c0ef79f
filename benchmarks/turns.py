"""Processes that take their steps in turns, so that the noise of a shared machine meets all of them alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

WAITING = "waiting for its turn"


def wait_for_turn() -> None:
    """Wait until the main process allows the next step."""
    print(WAITING, flush=True)
    if not sys.stdin.readline():
        raise SystemExit("the main process has ended")


def take_turns(commands: Mapping[str, Sequence[str]], steps: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Run commands that call `wait_for_turn` before each of their steps. One of them computes at a time.

    Args:
        commands: The command of each process.
        steps: Number of steps that each takes.
        environment: Environment variables.

    Returns:
        The last line that each process prints.
    """
    processes = {
        name: subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=dict(environment)
        )
        for name, command in commands.items()
    }
    lines: dict[str, str] = {}
    try:
        for name, process in processes.items():
            _await(name, process)
        for step in range(steps):
            for name, process in processes.items():
                assert process.stdin is not None
                process.stdin.write("\n")
                if step + 1 < steps:
                    _await(name, process)
                else:
                    lines[name] = _last_line(name, process)
        return lines
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _await(name: str, process: subprocess.Popen[str]) -> None:
    """Read what a process prints until it waits for its turn."""
    assert process.stdout is not None
    for printed in process.stdout:
        if printed.strip() == WAITING:
            return
    raise SystemExit(f"{name} ended before its last step: exit code {process.wait()}")


def _last_line(name: str, process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{name}: exit code {process.returncode}")
    return printed.splitlines()[-1]
