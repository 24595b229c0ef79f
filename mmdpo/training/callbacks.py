"""Callbacks of the trainer: complete checkpoints, stopping on a signal, reports of steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmdpo.activity import report_saved
from mmdpo.signals import Interrupted
from mmdpo.training.distributed import any_asked_to_stop, barrier
from mmdpo.training.resume import PREFIX, complete, discard, mark_complete

LOOP_TOTALS = ("num_tokens", "total_flos", "step")  # not logged: a resumed run counts them from 0


class MarkCompleteCheckpoint(TrainerCallback):
    """Callback that marks each checkpoint as complete and then deletes all but the newest ones."""

    def __init__(self, run: str, save_total_limit: int) -> None:
        """Set the fingerprint of the run, and the number of checkpoints to keep."""
        self.run, self.save_total_limit = run, save_total_limit

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint that was just saved."""
        barrier()  # each process writes a part
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
            mark_complete(checkpoint, state.global_step, self.run)
            report_saved("checkpoint", state.global_step)
            for old in complete(args.output_dir)[: -self.save_total_limit]:
                discard(old.path)


class StopWhenAsked(TrainerCallback):
    """Callback that saves and stops after the step in which any process was asked to; all agree on the step."""

    def __init__(self) -> None:
        """Start without a cause to stop."""
        self.cause: str | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the trainer to save and stop, unless this was the last step."""
        cause = any_asked_to_stop()
        if cause and state.global_step < state.max_steps:
            self.cause = cause
            control.should_save = control.should_training_stop = True

    def raise_if_asked(self) -> None:
        """Raise Interrupted if training was stopped early; its checkpoint has been written."""
        if self.cause:
            raise Interrupted(self.cause)


class StopAtRung(TrainerCallback):
    """Callback that saves and stops after the step of a rung; the schedule is that of the whole training."""

    def __init__(self, step: int | None) -> None:
        """Set the step after which to stop; None for the end of the training."""
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the trainer to save and stop at the step."""
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


class ReportSteps(TrainerCallback):
    """Callback that reports the metrics of each logged step and advances the progress bar."""

    def __init__(self, log: Callable[[dict[str, float], int], None], advance: Callable[[int], None]) -> None:
        """Set the functions to call: `log(metrics, step)` and `advance(steps)`."""
        self._log, self._advance = log, advance

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Report the metrics of a step; the last log of a training has totals instead, without a loss."""
        if "loss" in logs:
            self._log(step_metrics(logs), state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance the bar by one step."""
        self._advance(1)


def step_metrics(logs: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a log entry without the loop's totals."""
    return {name: float(value) for name, value in logs.items() if name not in LOOP_TOTALS}
