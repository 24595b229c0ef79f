"""A study's jobs while they run: a table on a terminal, else a line for each that ends."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from mmdpo.console import print_line
from mmdpo.slurm import client as slurm
from mmdpo.slurm.submission import submissions
from mmdpo.slurm.task_states import Seen, hidden, known_jobs, view

if TYPE_CHECKING:
    from rich.table import Table

FILES_SECONDS = 2.0
SLURM_SECONDS = 15.0  # a site's controller serves many
LINES = 3  # of a row at most: a folded name and a detail
DETAIL = 72  # characters
COLOURS = {"running": "cyan", "failed": "red", "cancelled": "yellow", "done": "green"}


@dataclass
class Progress:
    """How fast points train, from what was seen of them."""

    first: dict[str, tuple[float, int]] = field(default_factory=dict)  # time and step

    def cells(self, seen: Seen) -> list[str]:
        """Step, loss, margin and time left of a running point, as far as they are known."""
        line = last_metrics(seen.folder / "metrics.jsonl")
        if seen.state != "running" or "step" not in line:
            return ["", "", "", ""]
        step, epoch = int(line["step"]), float(line.get("epoch") or 0)
        total = round(step * float(seen.task.config["train"]["num_train_epochs"]) / epoch) if epoch else 0
        since, start = self.first.setdefault(seen.task.name, (time.monotonic(), step))
        rate = (step - start) / max(time.monotonic() - since, 1e-9)
        left = duration((total - step) / rate) if rate and total else ""
        return [
            f"{step}/{total or '?'}",
            _number(line.get("loss")),
            _number(line.get("rewards/margins")),
            left,
        ]


def watch(study: Path, names: Sequence[str]) -> dict[str, Seen] | None:
    """Wait until these tasks have ended; returns how, or None where Ctrl-C came first."""
    from rich.console import Console
    from rich.live import Live

    console, progress = Console(highlight=False), Progress()
    found = submissions(study)
    asked, silent, jobs = -SLURM_SECONDS, False, None
    unseen: set[str] = set()
    before: dict[str, str] = {}
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                if time.monotonic() - asked >= SLURM_SECONDS:
                    asked = time.monotonic()
                    try:
                        jobs, unseen, silent = known_jobs(found), hidden(found), False
                    except slurm.Unreachable as error:
                        if not silent:
                            console.print(f"SLURM does not answer: {error}; trying again", markup=False)
                        silent = True
                seen = {name: one for name, one in view(found, jobs, unseen).items() if name in set(names)}
                if console.is_terminal:
                    shown = max(LINES, (console.height - 6) // LINES)
                    live.update(table(study.name, seen, progress, shown), refresh=True)
                else:
                    _say_changes(seen, before)
                before = {name: one.state for name, one in seen.items()}
                if not any(one.live for one in seen.values()):
                    return seen
                time.sleep(FILES_SECONDS)
    except KeyboardInterrupt:
        return None


def table(name: str, seen: dict[str, Seen], progress: Progress, shown: int) -> Table:
    """Counts, then the tasks that run or failed, then those that wait, as many as fit."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    counts = Counter(one.state for one in seen.values())
    title = f"{name}: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    result = Table(title=escape(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    result.add_column("point", overflow="fold", ratio=1)
    for column in ("state", "step", "loss", "margin", "left"):
        result.add_column(column, justify="left" if column == "state" else "right", no_wrap=True)
    order = ("running", "failed", "cancelled", "pending", "absent", "done")
    rows = sorted(seen.values(), key=lambda one: order.index(one.state))
    for one in rows[:shown]:
        colour = COLOURS.get(one.state)
        state = f"[{colour}]{one.state}[/]" if colour else one.state
        detail = shorten(one.detail, DETAIL) if one.detail != one.state else ""
        below = f"\n[dim]{escape(detail)}[/]" if detail else ""
        result.add_row(escape(one.task.name) + below, state, *progress.cells(one))
    if len(rows) > shown:
        result.caption = f"and {len(rows) - shown} more"
    return result


def _say_changes(seen: dict[str, Seen], before: dict[str, str]) -> None:
    counts = Counter(one.state for one in seen.values())
    changed = [one for name, one in seen.items() if before.get(name) != one.state]
    for one in changed:
        if one.state in ("done", "failed", "cancelled") and before:
            print_line(f"{one.state}  {one.task.name}{f': {one.detail}' if one.detail else ''}")
    if changed:
        print_line(", ".join(f"{count} {state}" for state, count in counts.items()))


def last_metrics(path: Path) -> dict[str, Any]:
    """The last whole line of metrics.jsonl; empty where there is none."""
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


def duration(seconds: float) -> str:
    """As in 2:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""
