"""Starts of W&B runs: online where a key is found, offline otherwise, without a question and without a crash."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Any, Literal

from mmdpo.console import printable
from mmdpo.env_secrets import redacted
from mmdpo.wandb_runs import new_run_id, run_id

log = logging.getLogger("mmdpo.tracking")

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


def effective_mode(mode: Mode) -> Mode:
    """Return the mode of the user's WANDB_MODE if it is set, otherwise the configured one."""
    return mode if mode == "none" else ENVIRONMENT_MODES.get(os.environ.get("WANDB_MODE", "").lower(), mode)


def start_run(mode: Mode, settings: dict[str, Any], folder: Path, host: bool) -> Any:
    """Start a W&B run, offline if there is no key or no server.

    Args:
        mode: The mode, after `effective_mode`.
        settings: The arguments of `wandb.init`; an `id` of None stands for that of the folder.
        folder: The folder of the point.
        host: Whether commit, host and system metrics are recorded.

    Returns:
        The run; None if the mode is `none`.
    """
    global _online_failed
    if mode == "none":
        return None
    settings["id"] = settings["id"] or run_id(folder)
    if mode != "offline" and not _online_failed:
        try:
            if has_key():
                run = start_online(settings, folder, host)
                log.info("W&B: %s", run.url)
                return run
            if mode == "online":
                log.warning("W&B: no key was found (set WANDB_API_KEY or run `wandb login`); the run is kept offline")
        except Exception as error:
            _online_failed = True
            runs = folder / "wandb" / "offline-run-*"
            log.warning(
                "W&B: %s; runs are kept offline%s, `wandb sync %s` uploads them later",
                one_line(error),
                advice(error),
                runs,
            )
            restart()  # the service still counts the run's id as used
    try:
        return _init(settings, "offline", host)
    except Exception:  # the service may have died under an earlier run of this process
        restart()
        return _init(settings, "offline", host)


def has_key() -> bool:
    """Return whether W&B finds a key, in the environment or from `wandb login`; it is not checked with the server."""
    wandb = _library()
    return bool(wandb.login(prompt=False, verify=False))


def server_url() -> str:
    """Return the address of the server that W&B talks to."""
    return str(_library().Settings().base_url)


def start_online(settings: dict[str, Any], folder: Path, host: bool) -> Any:
    """Start a run on the server; under another id if its run was deleted there, whose id the server never accepts.

    Args:
        settings: The arguments of `wandb.init`.
        folder: The folder of the point, which keeps the id.
        host: Whether commit, host and system metrics are recorded.
    """
    try:
        return _init(settings, "online", host)
    except Exception as error:
        if not DELETED.search(str(error)):
            raise
        deleted, settings["id"] = settings["id"], new_run_id(folder)
        log.warning(
            "W&B: the run %s was deleted on the server; it is continued as the new run %s. What was kept offline is "
            "uploaded by `wandb sync --id %s %s`",
            *(deleted, settings["id"], settings["id"], folder / "wandb" / "offline-run-*"),
        )
        restart()
        return _init(settings, "online", host)


def restart() -> None:
    """End W&B's service, whatever its state, and start it again."""
    with contextlib.suppress(Exception):
        _library().teardown()
    _library()


def one_line(error: Exception) -> str:
    """Format an error as one line, without secrets."""
    text = str(error).strip().splitlines()
    return printable(redacted(f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__))


def advice(error: Exception) -> str:
    """Return the settings to check after an answer of the server; empty if it did not answer."""
    if re.search(r"\b(?:401|403|404)\b|permission|not found|entity|project|credential", str(error), re.IGNORECASE):
        return " (check WANDB_API_KEY, tracking.entity= and tracking.project=)"
    return ""


def _library() -> Any:
    """Import W&B, which prints nothing and reports nothing about itself."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # before the import reads it
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    return wandb


def _init(settings: dict[str, Any], mode: Literal["online", "offline"], host: bool) -> Any:
    """Start the run without prompts, console output or records of the code."""
    wandb = _library()
    options = wandb.Settings(
        console="off",
        silent=True,
        symlink=False,
        use_dot_wandb=False,
        save_code=False,
        disable_code=True,
        disable_git=not host,
        git_root=str(Path(__file__).parent) if host else None,
        disable_job_creation=True,
        x_disable_meta=not host,
        x_save_requirements=host,
        x_disable_stats=not host,
        init_timeout=SERVER_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
    )
    return wandb.init(mode=mode, resume="allow", reinit="create_new", settings=options, **settings)
