"""commands.jsonl of a study: each command that ran points of it, as it was typed.

A line holds the command quoted for the shell, its time, working directory, version, and its outcome:
`running`, `done`, `submitted`, or why it ended otherwise. Commands that were refused, and dry runs, are not noted.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from filelock import FileLock, Timeout

from mmdpo import __version__
from mmdpo.config.group_aliases import as_typed
from mmdpo.config.new_sources import without_empty_sources
from mmdpo.console import print_line, printable
from mmdpo.files import atomic_write

FILE = "commands.jsonl"
LOCK_SECONDS = 10.0
NO_POINTS = ("stage=report", "stage=export")
"""Overrides of commands that compute no points."""

_begun: dict[Path, str] = {}  # the `id` of this process's line, by study
_waiting: list[Callable[[], object]] = []


def typed_words() -> list[str]:
    """Return the words of this process's command, as a shell would give them; empty for a process of another kind."""
    program, *rest = sys.argv
    words = without_empty_sources(as_typed(rest))
    path = Path(program)
    if path.name == "launch.py":
        if "TORCHELASTIC_RUN_ID" in os.environ:
            return ["torchrun", f"--nproc-per-node={os.environ.get('LOCAL_WORLD_SIZE', '1')}", program, *words]
        return ["python", program, *words]
    if path.parent.name == "mmdpo" and path.name == "__main__.py":
        return ["python", "-m", "mmdpo", *words]
    return ["mmdpo", *words] if path.name == "mmdpo" else []


def when_begun(call: Callable[[], object]) -> None:
    """Call a function once when this process's command begins to run points, and never if it is refused."""
    _waiting.append(call)


def begin(study: Path) -> None:
    """Note in a study that this process's command, which has been checked, runs points of it; once per process."""
    while _waiting:
        _waiting.pop(0)()
    words, study = typed_words(), study.absolute()
    if not words or study in _begun or os.environ.get("RANK", "0") != "0":
        return
    _begun[study] = token_hex(4)
    line = {
        "id": _begun[study],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(words),
        "cwd": os.getcwd(),
        "version": __version__,
        "outcome": "running",
    }
    _change(study, lambda lines: [*lines, line])


def end(outcome: str) -> None:
    """Note the outcome of this process's command in the studies that it ran points of."""
    ended = {"outcome": printable(outcome), "ended": datetime.now(UTC).isoformat(timespec="seconds")}
    for study, own in _begun.items():
        _change(study, partial(_with_end, own, ended))


def _with_end(own: str, ended: dict[str, Any], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line | ended if line.get("id") == own else line for line in lines]


def read_commands(study: Path) -> list[dict[str, Any]]:
    """Return the lines of a study's commands.jsonl, oldest first; damaged lines are skipped."""
    path = study / FILE
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and isinstance(content.get("command"), str):
            found.append(content)
    return found


def launches(study: Path) -> list[str]:
    """Return the different commands of launch.py that computed points of a study, in the order of their first run."""
    typed = dict.fromkeys(content["command"] for content in read_commands(study))
    return [command for command in typed if "launch.py" in command and not set(NO_POINTS) & set(_split(command))]


def last_launch(study: Path) -> list[str]:
    """Return the words of the last command of launch.py that computed points of a study; empty if none is known."""
    found = [content["command"] for content in read_commands(study)]
    known = set(launches(study))
    return next((_split(command) for command in reversed(found) if command in known), [])


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _change(study: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Replace the lines of a study's file, alone."""
    try:
        study.mkdir(parents=True, exist_ok=True)
        with FileLock(study / f".{FILE}.lock", timeout=LOCK_SECONDS), atomic_write(study / FILE) as aside:
            lines = change(read_commands(study))
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            aside.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, Timeout) as error:
        print_line(f"{study / FILE}: the command could not be noted: {error}")
