"""What a run measures: `metrics.jsonl`, which is the truth, and Weights & Biases, its mirror.

A line reaches the disk before W&B hears of it, and nothing that W&B does wrong stops a run: the first
failure is one warning, and the files go on alone.
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

from mmdpo.config.choices import WandbMode
from mmdpo.config.schema import TrackingConfig
from mmdpo.files import atomic_write
from mmdpo.signals import Interrupted

log = logging.getLogger("mmdpo.tracking")

METRICS = "metrics.jsonl"
SERVER_SECONDS = 20.0  # until a server that does not answer is given up
FINISH_SECONDS = 60.0  # for the last uploads of a run; the rest stays on disk for `wandb sync`

_online_failed = False  # in this process: the points after the first do not wait for the server again


class Tracker:
    """One run's metrics; a context manager that closes the run as good or as failed.

    `folder` gets `metrics.jsonl` and W&B's `wandb/offline-run-*` or `wandb/run-*`. `run_id` names the
    W&B run, so that a run that was interrupted goes on in the same one. On a node of several processes
    only the first makes a tracker.
    """

    def __init__(
        self,
        folder: Path,
        tracking: TrackingConfig,
        *,
        run_id: str,
        name: str,
        study: str,
        job_type: str,
        tags: Sequence[str],
        config: dict[str, Any],
    ) -> None:
        self.path = folder / METRICS
        folder.mkdir(parents=True, exist_ok=True)
        self.resumed(math.inf)
        about = {
            "dir": str(folder),
            "project": tracking.project,
            "entity": tracking.entity,
            "id": run_id,
            "name": name,
            "group": study,
            "job_type": job_type,
            "tags": [*tags, *tracking.tags],
            "config": _redacted(config),
        }
        self._run: Any = None
        try:
            self._run = _start(_mode(tracking.mode), about)
        except Exception as error:
            self._warn(error)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one line of metrics; what is not a finite number becomes null there."""
        numbers = {key: float(value) for key, value in metrics.items()}
        line = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(step), **line}, ensure_ascii=False, allow_nan=False) + "\n")
        self._mirror(lambda run: run.log(numbers, step=int(step)))

    def resumed(self, step: float) -> None:
        """Go on after `step`: later lines, and one that a kill tore, are dropped; -1 drops all."""
        if not self.path.exists():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and _step(line) <= step]
        if kept != lines:
            with atomic_write(self.path) as aside:
                aside.write_bytes(b"".join(kept))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Put the final values on the W&B run; the file that holds them is the run's `result.json`."""
        self._mirror(lambda run: run.summary.update(_redacted(dict(values))))

    def finish(self, ok: bool) -> None:
        """Close the run; a second call does nothing."""
        self._mirror(lambda run: run.finish(exit_code=0 if ok else 1))
        self._run = None

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        log.warning("W&B: %s; this run goes on without it, everything is in %s", _line(error), self.path)


def _mode(wanted: WandbMode) -> WandbMode:
    """The mode that W&B's own WANDB_MODE asks for where the user set it, else the configured one."""
    if wanted is WandbMode.none:
        return wanted
    return {
        "online": WandbMode.online,
        "run": WandbMode.online,
        "shared": WandbMode.online,
        "offline": WandbMode.offline,
        "dryrun": WandbMode.offline,
        "disabled": WandbMode.none,
    }.get(os.environ.get("WANDB_MODE", "").lower(), wanted)


def _start(mode: WandbMode, about: dict[str, Any]) -> Any:
    """A W&B run, or None; falls back to offline where there is no key or no server."""
    global _online_failed
    if mode is WandbMode.none:
        return None
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # W&B's own telemetry; read at import
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    if mode is not WandbMode.offline and not _online_failed:
        try:
            if wandb.login(prompt=False, verify=False):
                run = _init(about, "online")
                log.info("W&B: %s", run.url)
                return run
            if mode is WandbMode.online:
                log.warning("W&B: no key was found (WANDB_API_KEY or `wandb login`); the run is kept offline")
        except Exception as error:
            _online_failed = True
            log.warning("W&B: %s; runs are kept offline, `wandb sync` uploads them later", _line(error))
            _restart()  # the service holds the run's id as in use
    try:
        return _init(about, "offline")
    except Exception:  # the service may have died under an earlier run of this process
        _restart()
        return _init(about, "offline")


def _restart() -> None:
    """End W&B's service, whatever state it is in, and start anew."""
    import wandb

    with contextlib.suppress(Exception):
        wandb.teardown()
    wandb.setup(wandb.Settings(silent=True))


def _init(about: dict[str, Any], mode: Literal["online", "offline"]) -> Any:
    """Start the run without a question, a word on the console, a copy of the code or of the machine."""
    import wandb

    settings = wandb.Settings(
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
        x_disable_stats=mode == "offline",  # GPU and memory curves are worth it only where they are seen
        init_timeout=SERVER_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
    )
    return wandb.init(mode=mode, resume="allow", reinit="create_new", settings=settings, **about)


def _step(line: bytes) -> float:
    """The step of a line of metrics; not a number where the line is damaged: no comparison keeps it."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.nan


def _line(error: Exception) -> str:
    """An error in one line, without secrets."""
    text = str(error).strip().splitlines()
    return str(_redacted(f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__))


def _redacted(value: Any) -> Any:
    """The value with every secret of the environment replaced by its variable's name."""
    if isinstance(value, str):
        for name, secret in os.environ.items():
            if re.search("KEY|TOKEN|SECRET|PASSW", name.upper()) and len(secret) >= 8:
                value = value.replace(secret, f"${name}")
        return value
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    return [_redacted(item) for item in value] if isinstance(value, list | tuple) else value
