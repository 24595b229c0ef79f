"""Trackers of tests, and what they leave on disk."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mmdpo.tracking import Tracker
from mmdpo.wandb_service import Mode

KEY = "0123456789abcdef" * 3


def tracker(
    folder: Path, mode: Mode = "none", run_id: str | None = "abc123", host: bool = False, **config: Any
) -> Tracker:
    return Tracker(
        folder,
        mode=mode,
        project="test",
        entity=None,
        run_id=run_id,
        name="dpo-beta0.1",
        study="beta_lr_grid",
        job_type="train",
        tags=["dpo", "mine"],
        config={"beta": 0.1, **config},
        host=host,
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def transaction_log(folder: Path) -> Path:
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    return path


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages that the tracker itself logged."""
    return [record.getMessage() for record in caplog.records if record.name == "mmdpo.tracking"]


def inspect(path: Path, *options: str) -> str:
    """The content of an offline file, read by W&B's own reader; its service may write the file after a run's end."""
    from wandb.util import get_core_path

    options = ("--no-observability", "--json", *options, "--run-file", str(path))
    command = [get_core_path(), "leet", "inspect", *options, str(path.parents[1])]  # `wandb leet`, without its import
    end = time.monotonic() + 30
    while not (found := subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout):
        assert time.monotonic() < end, f"{path} stays empty"
        time.sleep(0.1)
    return found


def run_alone(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the code in a separate process, without a terminal and with an empty standard input."""
    prelude = (
        "import sys; from pathlib import Path; from mmdpo.tracking import Tracker\n"
        "def start(folder, mode):\n"
        "    return Tracker(Path(folder), mode=mode, project='mmdpo', entity=None, run_id='abc', name='n',\n"
        "        study='s', job_type='train', tags=[], config={})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        env={name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} | environment,
        start_new_session=True,
    )
