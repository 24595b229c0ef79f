"""Watching a study's jobs: a live table on a terminal, otherwise one line for each job that ends."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from mmdpo.console import make_console, markup_safe, print_line, printable
from mmdpo.points.status import State
from mmdpo.signals import listening
from mmdpo.slurm import client as slurm
from mmdpo.slurm.judging import Judging
from mmdpo.slurm.submission import read_submissions
from mmdpo.slurm.task_states import TaskState, combine_states, invisible_submissions, query_jobs

if TYPE_CHECKING:
    from rich.table import Table

FILES_SECONDS = 2.0
SLURM_SECONDS = 15.0  # a controller serves the whole site
LINES = 3  # of a row at most: a folded name and a detail
DETAIL = 72  # characters
ORDER = (
    State.running,
    State.failed,
    State.cancelled,
    State.pending,
    State.planned,
    State.answered,
    State.pruned,
    State.done,
)
COLOURS = {State.running: "cyan", State.failed: "red", State.cancelled: "yellow", State.done: "green"}


@dataclass
class TrainingProgress:
    """The speed at which points train, measured while they are watched."""

    first: dict[str, tuple[float, int]] = field(default_factory=dict)  # time and step at the first look

    def cells(self, one: TaskState) -> list[str]:
        """Return step, loss, margin and time left of a running point; empty if they are unknown."""
        metrics = last_metrics(one.folder / "metrics.jsonl")
        if one.state is not State.running or "step" not in metrics:
            return ["", "", "", ""]
        step, epoch = int(metrics["step"]), float(metrics.get("epoch") or 0)
        epochs = one.task.config["train"].get("num_train_epochs")
        total = round(step * float(epochs) / epoch) if epochs and epoch else 0
        since, start = self.first.setdefault(one.task.name, (time.monotonic(), step))
        rate = (step - start) / max(time.monotonic() - since, 1e-9)
        left = format_duration((total - step) / rate) if rate and total else ""
        loss, margin = _number(metrics.get("loss")), _number(metrics.get("rewards/margins"))
        return [f"{step}/{total or '?'}", loss, margin, left]


def watch(study: Path, names: Sequence[str], judging: Judging | None = None) -> dict[str, TaskState]:
    """Wait until the named tasks have ended, and judge answers as they arrive.

    Args:
        study: The folder of the study.
        names: The names of the tasks.
        judging: The judging by this command; None if it does not judge.

    Returns:
        The states of the tasks.
    """
    from rich.live import Live

    console, progress = make_console(), TrainingProgress()
    found = read_submissions(study)
    asked, unreachable, jobs = -SLURM_SECONDS, False, None
    invisible: set[str] = set()
    before: dict[str, str] = {}
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            if time.monotonic() - asked >= SLURM_SECONDS:
                asked = time.monotonic()
                try:
                    jobs, invisible, unreachable = query_jobs(found), invisible_submissions(found), False
                except slurm.Unreachable as error:
                    if not unreachable:
                        console.print(printable(f"SLURM does not answer: {error}; trying again"), markup=False)
                    unreachable = True
            states = combine_states(found, jobs, invisible)
            states = {name: one for name, one in states.items() if name in set(names)}
            if console.is_terminal:
                rows = max(LINES, (console.height - 6) // LINES)
                live.update(states_table(study.name, states, progress, rows), refresh=True)
            else:
                _print_changes(states, before)
            before = {name: _news(one) for name, one in states.items()}
            answered = [one for one in states.values() if one.state is State.answered]
            if judging and answered and judging.wants([one.task.name for one in answered]):
                live.stop()  # judging has a progress bar of its own
                with listening():
                    judging.judge(one.task.point for one in answered)
                live.start()
                continue
            if not any(one.live for one in states.values()):
                return states
            time.sleep(FILES_SECONDS)


def states_table(title: str, states: Mapping[str, TaskState], progress: TrainingProgress, rows: int) -> Table:
    """Compose the live table: counts, then running and failed tasks, then the others as far as they fit.

    Args:
        title: The name of the study.
        states: The tasks by name.
        progress: The measured speed of the points.
        rows: The largest number of rows.

    Returns:
        The table for rich.
    """
    from rich import box
    from rich.table import Table

    title = f"{title}: " + _counts(states)
    result = Table(title=markup_safe(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    result.add_column("point", overflow="fold", ratio=1)
    for column in ("state", "step", "loss", "margin", "left"):
        result.add_column(column, justify="left" if column == "state" else "right", no_wrap=True)
    ordered = sorted(states.values(), key=lambda one: ORDER.index(one.state))
    for one in ordered[:rows]:
        colour = COLOURS.get(one.state)
        state = f"[{colour}]{one.state}[/]" if colour else str(one.state)
        detail = one.detail if one.stuck else shorten(one.detail, DETAIL) if one.detail != one.state else ""
        below = f"\n[dim]{markup_safe(detail)}[/]" if detail else ""
        result.add_row(markup_safe(one.task.name) + below, state, *progress.cells(one))
    if len(ordered) > rows:
        result.caption = f"and {len(ordered) - rows} more"
    return result


def _counts(states: Mapping[str, TaskState]) -> str:
    return ", ".join(f"{count} {state}" for state, count in Counter(one.state for one in states.values()).items())


def _news(one: TaskState) -> str:
    """Return what a line is printed for when it changes."""
    return one.detail if one.stuck else one.state


def _print_changes(states: Mapping[str, TaskState], before: Mapping[str, str]) -> None:
    changed = [one for name, one in states.items() if before.get(name) != _news(one)]
    for one in changed:
        if one.state in (State.done, State.failed, State.cancelled) and before:
            print_line(f"{one.state}  {one.task.name}{f': {one.detail}' if one.detail else ''}")
    for detail, count in Counter(one.detail for one in changed if one.stuck).items():
        print_line(f"{count} points: {detail}")
    if changed:
        print_line(_counts(states))


def last_metrics(path: Path) -> dict[str, Any]:
    """Return the last complete line of metrics.jsonl; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            data = json.loads(line)
        except ValueError:
            continue
        if isinstance(data, dict):
            return data
    return {}


def format_duration(seconds: float) -> str:
    """Format seconds as 2:05, or 2:05:00 from an hour."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""
