"""Checkpoints that count only when they are whole, and the one to continue from.

A checkpoint is whole when its marker is there, which is written after everything else in it. What a
kill left torn, and what another run left, is deleted before training starts.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmdpo.files import read_json, write_json
from mmdpo.signals import Interrupted
from mmdpo.training.distributed import any_asked_to_stop, barrier

MARKER = "complete.json"
PREFIX = "checkpoint-"  # transformers' name: checkpoint-STEP


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: the steps that it has behind it, and the run that it belongs to."""

    path: Path
    step: int
    run: str


def complete(folder: str | Path) -> list[Checkpoint]:
    """The whole checkpoints in `folder`, oldest first."""
    found = []
    for marker in Path(folder).glob(f"{PREFIX}*/{MARKER}"):
        content = read_json(marker)
        found.append(Checkpoint(marker.parent, content["step"], content["run"]))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def last_complete(folder: str | Path) -> Checkpoint | None:
    """The newest whole checkpoint in `folder`."""
    return next(reversed(complete(folder)), None)


def continue_from(folder: Path, run: str) -> Checkpoint | None:
    """The checkpoint to continue `run` from, or None to start; whatever cannot be used is deleted."""
    own = [checkpoint for checkpoint in complete(folder) if checkpoint.run == run]
    kept = {checkpoint.path for checkpoint in own}
    for path in folder.glob(f"{PREFIX}*"):
        if path not in kept:
            discard(path)
    return own[-1] if own else None


def discard(checkpoint: Path) -> None:
    """Delete a checkpoint, its marker first: a kill in between leaves a torn one, not a false one."""
    (checkpoint / MARKER).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


class MarkCompleteCheckpoint(TrainerCallback):
    """Marks each checkpoint as whole after it is written, then deletes all but the newest `keep`."""

    def __init__(self, run: str, keep: int) -> None:
        self.run, self.keep = run, keep

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        barrier()  # each process writes a part
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
            write_json(checkpoint / MARKER, {"step": state.global_step, "run": self.run})
            for old in complete(args.output_dir)[: -self.keep]:
                discard(old.path)


class StopWhenAsked(TrainerCallback):
    """Saves and ends the loop after the step in which a process was asked to stop; all agree on the step."""

    def __init__(self) -> None:
        self.cause: str | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        cause = any_asked_to_stop()
        if cause and state.global_step < state.max_steps:  # else it is at its end anyway
            self.cause = cause
            control.should_save = control.should_training_stop = True

    def raise_if_asked(self) -> None:
        """Raise Interrupted where the loop was ended early, its checkpoint written."""
        if self.cause:
            raise Interrupted(self.cause)
