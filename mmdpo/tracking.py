"""Metrics of a run: `metrics.jsonl`, which is the truth, and Weights & Biases, its mirror.

A line is on disk before W&B gets it. An error of W&B never stops a run: the first one is a warning, and after it
only the files are written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from mmdpo.console import printable
from mmdpo.env_secrets import redacted
from mmdpo.files import atomic_write
from mmdpo.signals import Interrupted
from mmdpo.wandb_runs import new_run_id, run_id

log = logging.getLogger("mmdpo.tracking")

METRICS = "metrics.jsonl"
LONGEST_NAME, LONGEST_TAG = 128, 64  # characters that W&B accepts
DELETED = re.compile("previously created and deleted", re.IGNORECASE)
"""The server's message for the id of a run that was deleted."""
SERVER_SECONDS = 20.0  # timeout of a server that does not answer
FINISH_SECONDS = 60.0  # timeout of a run's last uploads; `wandb sync` uploads the rest

Mode = Literal["auto", "online", "offline", "none"]
"""The modes of `tracking.mode`; `auto` is online if a key is found, otherwise offline."""

ENVIRONMENT_MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "none",
}
"""The values of WANDB_MODE."""

_online_failed = False  # in this process: later points do not wait for the server again


class Tracker:
    """The metrics of one run; a context manager that marks the W&B run as finished or failed.

    `folder` gets `metrics.jsonl` and W&B's `wandb/offline-run-*` or `wandb/run-*`. Of several processes that
    train together, only rank 0 makes a tracker.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: Mode,
        project: str,
        entity: str | None,
        run_id: str | None,
        name: str,
        study: str,
        job_type: str,
        tags: Sequence[str],
        config: dict[str, Any],
    ) -> None:
        """Start the W&B run, if there is one.

        Args:
            folder: The folder of the point.
            mode: The mode of W&B; the user's WANDB_MODE takes precedence, except over `none`.
            project: The W&B project.
            entity: The W&B user or team; None for the user's default.
            run_id: The id of the W&B run, by which an interrupted run is continued; None for that of the folder.
            name: The name of the run.
            study: The group of the run.
            job_type: The job type of the run.
            tags: The tags of the run; W&B takes 64 characters of each.
            config: The values for the run's config; secrets of the environment are removed from them.
        """
        self.path = folder / METRICS
        folder.mkdir(parents=True, exist_ok=True)
        self.resumed(math.inf)
        settings = {
            "dir": str(folder),
            "project": project,
            "entity": entity,
            "id": run_id,
            "name": name[:LONGEST_NAME],
            "group": study[:LONGEST_NAME],
            "job_type": job_type,
            "tags": [*dict.fromkeys(tag[:LONGEST_TAG] for tag in tags if tag)],
            "config": redacted(config),
        }
        self._run: Any = None
        try:
            self._run = _start(_effective_mode(mode), settings, folder)
        except Exception as error:
            self._warn(error)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one line of metrics; values that are not finite become null in the file."""
        numbers = {key: float(value) for key, value in metrics.items()}
        line = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(step), **line}, ensure_ascii=False, allow_nan=False) + "\n")
        self._mirror(lambda run: run.log(numbers, step=int(step)))

    def resumed(self, step: float) -> None:
        """Continue after `step`: drop the lines of later steps, and an incomplete line; -1 drops all lines."""
        if not self.path.exists():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and _step(line) <= step]
        if kept != lines:
            with atomic_write(self.path) as aside:
                aside.write_bytes(b"".join(kept))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Set the summary of the W&B run; on disk these values are in the run's `result.json`."""
        self._mirror(lambda run: run.summary.update(redacted(dict(values))))

    def finish(self, ok: bool) -> None:
        """Close the W&B run as finished or failed; a second call does nothing."""
        self._mirror(lambda run: run.finish(exit_code=0 if ok else 1))
        self._run = None

    def __enter__(self) -> Tracker:
        """Return the tracker."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the run; after Interrupted, mark it as preempting."""
        if kind is not None and issubclass(kind, Interrupted):
            self._mirror(lambda run: run.mark_preempting())
        self.finish(ok=kind is None)

    def _mirror(self, call: Callable[[Any], object]) -> None:
        if self._run is None:
            return
        try:
            call(self._run)
        except Exception as error:
            self._run = None
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        log.warning("W&B: %s; this run continues without it, all metrics are in %s", _line(error), self.path)


def _effective_mode(mode: Mode) -> Mode:
    """Return the mode of the user's WANDB_MODE if it is set, otherwise the configured one."""
    return mode if mode == "none" else ENVIRONMENT_MODES.get(os.environ.get("WANDB_MODE", "").lower(), mode)


def _start(mode: Mode, settings: dict[str, Any], folder: Path) -> Any:
    """Start a W&B run, offline if there is no key or no server; None if the mode is `none`."""
    global _online_failed
    if mode == "none":
        return None
    settings["id"] = settings["id"] or run_id(folder)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # disable W&B's telemetry, before the import reads it
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    if mode != "offline" and not _online_failed:
        try:
            if wandb.login(prompt=False, verify=False):
                run = _init_online(settings, folder)
                log.info("W&B: %s", run.url)
                return run
            if mode == "online":
                log.warning("W&B: no key was found (set WANDB_API_KEY or run `wandb login`); the run is kept offline")
        except Exception as error:
            _online_failed = True
            runs = folder / "wandb" / "offline-run-*"
            log.warning(
                "W&B: %s; runs are kept offline%s, `wandb sync %s` uploads them later",
                _line(error),
                _advice(error),
                runs,
            )
            _restart()  # the service still counts the run's id as used
    try:
        return _init(settings, "offline")
    except Exception:  # the service may have died under an earlier run of this process
        _restart()
        return _init(settings, "offline")


def _advice(error: Exception) -> str:
    """Return the settings to check after an answer of the server; empty if it did not answer."""
    if re.search(r"\b(?:401|403|404)\b|permission|not found|entity|project", str(error), re.IGNORECASE):
        return " (check WANDB_API_KEY, tracking.entity= and tracking.project=)"
    return ""


def _init_online(settings: dict[str, Any], folder: Path) -> Any:
    """Start a run on the server; under another id if its run was deleted there, whose id the server never accepts."""
    try:
        return _init(settings, "online")
    except Exception as error:
        if not DELETED.search(str(error)):
            raise
        deleted, settings["id"] = settings["id"], new_run_id(folder)
        log.warning(
            "W&B: the run %s was deleted on the server; it is continued as the new run %s. What was kept offline is "
            "uploaded by `wandb sync --id %s %s`",
            *(deleted, settings["id"], settings["id"], folder / "wandb" / "offline-run-*"),
        )
        _restart()
        return _init(settings, "online")


def _restart() -> None:
    """End W&B's service, whatever its state, and start it again."""
    import wandb

    with contextlib.suppress(Exception):
        wandb.teardown()
    wandb.setup(wandb.Settings(silent=True))


def _init(settings: dict[str, Any], mode: Literal["online", "offline"]) -> Any:
    """Start the run without prompts, console output, or records of the code and the machine."""
    import wandb

    options = wandb.Settings(
        console="off",
        silent=True,
        symlink=False,
        use_dot_wandb=False,
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_save_requirements=False,
        x_disable_stats=mode == "offline",  # system metrics only where they are shown
        init_timeout=SERVER_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
    )
    return wandb.init(mode=mode, resume="allow", reinit="create_new", settings=options, **settings)


def _step(line: bytes) -> float:
    """Return the step of a line of metrics; NaN for a damaged line, so that every comparison drops it."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.nan


def _line(error: Exception) -> str:
    """Format an error as one line, without secrets."""
    text = str(error).strip().splitlines()
    return printable(redacted(f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__))
