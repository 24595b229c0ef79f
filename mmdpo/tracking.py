"""Metrics of a run: `metrics.jsonl`, which is the truth, and Weights & Biases, its mirror.

A line is on disk before W&B gets it. An error of W&B never stops a run: the first one is a warning, and after it
only the files are written. In W&B metrics have the names that they have in runs of plain TRL, such as `train/loss`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mmdpo import wandb_service
from mmdpo.env_secrets import redacted
from mmdpo.files import atomic_write
from mmdpo.signals import Interrupted
from mmdpo.wandb_service import Mode

log = logging.getLogger("mmdpo.tracking")

METRICS = "metrics.jsonl"
STEP = "train/global_step"
"""The step of an optimizer in W&B, against which runs of TRL show all their metrics."""
LONGEST_NAME, LONGEST_TAG = 128, 64  # characters that W&B accepts


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
        host: bool = True,
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
            host: Whether W&B records the git commit, the host and its system metrics.
        """
        self.path = folder / METRICS
        folder.mkdir(parents=True, exist_ok=True)
        self._drop_after(math.inf)
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
        self._first = not any((folder / "wandb").glob("*run-*"))
        self._run: Any = None
        try:
            self._run = wandb_service.start_run(wandb_service.effective_mode(mode), settings, folder, host)
        except Exception as error:
            self._warn(error)
        self._mirror(define_metrics)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one line of metrics; values that are not finite become null in the file."""
        numbers = {key: float(value) for key, value in metrics.items()}
        line = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(step), **line}, ensure_ascii=False, allow_nan=False) + "\n")
        self._mirror(lambda run: run.log(step_in_wandb(numbers, int(step)), step=int(step)))

    def replay(self) -> None:
        """Give W&B the steps that were logged without it, as those of a training that another point began or ended.

        A run that was started before has them.
        """
        if self._first:
            self._mirror(lambda run: replay_metrics(self.path, run))
        self._first = False

    def resumed(self, step: float) -> None:
        """Continue after `step`: drop the lines of later steps, and an incomplete line; -1 drops all lines."""
        self._drop_after(step)
        self.replay()

    def _drop_after(self, step: float) -> None:
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
        log.warning(
            "W&B: %s; this run continues without it, all metrics are in %s", wandb_service.one_line(error), self.path
        )


def define_metrics(run: Any) -> None:
    """Make the step of the optimizer the x-axis of all metrics of a W&B run, as TRL's runs have it."""
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)


def step_in_wandb(metrics: Mapping[str, float], step: int) -> dict[str, float]:
    """Return a logged step under the names that it has in W&B from a plain run of TRL."""
    return {**{f"train/{name}": value for name, value in metrics.items()}, STEP: step}


def replay_metrics(path: Path, run: Any) -> int:
    """Log the steps of a file of metrics that a W&B run does not have yet; returns their number."""
    steps = {int(line.pop("step")): line for line in _lines(path) if line["step"] >= run.starting_step}
    for step in sorted(steps):
        numbers = {name: math.nan if value is None else value for name, value in steps[step].items()}
        run.log(step_in_wandb(numbers, step), step=step)
    return len(steps)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a file of metrics; an absent file has none."""
    if path.exists():
        yield from (json.loads(line) for line in path.read_bytes().splitlines() if not math.isnan(_step(line)))


def _step(line: bytes) -> float:
    """Return the step of a line of metrics; NaN for a damaged line, so that every comparison drops it."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.nan
