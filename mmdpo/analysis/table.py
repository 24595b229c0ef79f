"""A study as a table on the terminal and as summary.csv."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.contamination_lines import contamination_lines
from mmdpo.analysis.imported import imported_notes, imported_warnings
from mmdpo.analysis.label_lines import COMPETING, is_mixed, label_lines, mixed_lines
from mmdpo.analysis.labels import (
    ROLE_NOTES,
    ROLES,
    column,
    decimals,
    half_width,
    imported_label,
    row_label,
    short_number,
    sign,
    value_text,
)
from mmdpo.analysis.study import FAILED, POINT_AXES, Row, Study
from mmdpo.analysis.warning_lines import warning_lines
from mmdpo.console import markup_safe, printable
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import WITHOUT_REQUEST
from mmdpo.files import atomic_write, spreadsheet_cell
from mmdpo.points.identity import Role
from mmdpo.points.status import State

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Style = Callable[[Score, int], str]
"""A way to write a score with a number of decimals."""

COLOURS: dict[str, str] = {
    State.running: "cyan",
    State.failed: "red",
    State.unreadable: "red",
    State.interrupted: "yellow",
    State.cancelled: "yellow",
}


def print_table(study: Study, console: Console) -> None:
    """Print the table in the fullest form that fits the console, then notes, jobs, warnings and failures."""
    from rich.measure import Measurement

    unlimited = console.options.update(width=10_000)

    def fits(one: Table) -> bool:
        return Measurement.get(console, unlimited, one).maximum <= console.width

    for style in (with_bounds, with_half_width, stacked):
        tables = [table(study, style)]
        if fits(tables[0]):
            break
    else:
        tables = split_table(study, fits)
    for one in tables:
        console.print(one)
    for note in notes(study):
        console.print(f"[dim]{markup_safe(note)}[/]")
    for line in mixed_lines(study):
        console.print(f"[red]{markup_safe(line)}[/]", soft_wrap=True)
    for line in mixed_lines(study, mild=True):
        console.print(f"[yellow]{markup_safe(line)}[/]", soft_wrap=True)
    for line in [*jobs(study), *next_stages(study)]:
        console.print(printable(line), soft_wrap=True, markup=False)
    for line in [*imported_warnings(study), *warning_lines(study)]:
        console.print(f"[yellow]{markup_safe(line)}[/]", soft_wrap=True)
    for line in failures(study):
        console.print(f"[red]{markup_safe(line)}[/]", soft_wrap=True)


def split_table(study: Study, fits: Callable[[Table], bool]) -> list[Table]:
    """Make several tables of some benchmarks each, for more of them than fit beside each other.

    Args:
        study: The study.
        fits: Return whether a table fits the console.
    """
    left, tables = study.benchmarks, []
    while left:
        counts = range(len(left), 1, -1)
        count = next((count for count in counts if fits(table(study, with_half_width, left[:count]))), 1)
        tables.append(table(study, with_half_width if count > 1 else stacked, left[:count]))
        left = left[count:]
    return tables or [table(study, stacked)]


def table(study: Study, style: Style, benchmarks: Sequence[str] | None = None) -> Table:
    """Make the table: reference models first, the best score of each benchmark in bold.

    Args:
        study: The study.
        style: Writes a score.
        benchmarks: The benchmarks to show; None for all.
    """
    from rich import box
    from rich.table import Table

    keys, benchmarks = study.varying, study.benchmarks if benchmarks is None else benchmarks
    with_state = any(row.state != State.done for row in study.rows)
    result = Table(title=markup_safe(study.name), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    result.add_column(markup_safe(column(keys[0])) if keys else "point")
    for key in keys[1:]:
        result.add_column(markup_safe(column(key)), justify="right")
    if with_state:
        result.add_column("state")
    places = {}
    for benchmark in benchmarks:
        scores = [row.scores[benchmark] for row in study.rows if benchmark in row.scores]
        places[benchmark] = decimals(scores)
        result.add_column(markup_safe(benchmark), justify="right", no_wrap=True)
    result.add_column("steps", justify="right")
    result.add_column("s", justify="right")
    best = {benchmark: _best(study, benchmark, places[benchmark]) for benchmark in benchmarks}
    previous = None
    for row in study.rows:
        if previous not in (None, row.role) and row.role in (Role.trained, Role.imported):
            result.add_section()
        previous = row.role
        cells = [markup_safe(cell) for cell in _name_cells(row, keys)]
        if with_state:
            cells.append(_state(row))
        for benchmark in benchmarks:
            cell = style(row.scores[benchmark], places[benchmark]) if benchmark in row.scores else "–"
            cells.append(f"[bold]{markup_safe(cell)}[/]" if row.point in best[benchmark] else markup_safe(cell))
        cells.append("–" if row.steps is None else str(row.steps))
        cells.append("–" if row.seconds is None else f"{row.seconds:.0f}")
        result.add_row(*cells)
    return result


def with_bounds(score: Score, places: int) -> str:
    """Write a score with its interval: `8.61 [8.50, 8.72]`."""
    if math.isnan(score.low):
        return f"{score.value:.{places}f}"
    return f"{score.value:.{places}f} [{score.low:.{places}f}, {score.high:.{places}f}]"


def with_half_width(score: Score, places: int) -> str:
    """Write a score with half the width of its interval: `8.61 ±.11`."""
    if math.isnan(score.low):
        return f"{score.value:.{places}f}"
    return f"{score.value:.{places}f} ±{short_number(half_width(score), places)}"


def stacked(score: Score, places: int) -> str:
    """Write half the width of the interval below the score, for many columns."""
    return with_half_width(score, places).replace(" ", "\n")


def notes(study: Study) -> list[str]:
    """Return the notes below the table: the interval, n, the reference models."""
    lines = []
    if study.benchmarks:
        lines.append(f"± or [ ]: {study.resampled}; {items_text(study)}")
        lines.append("bold: best of the base and the trained points; s: seconds")
    present = {row.role for row in study.rows}
    names = [note for role, note in ROLE_NOTES.items() if role in present]
    return [*lines, *names, *footnotes(study)]


def footnotes(study: Study) -> list[str]:
    """Return the notes on the scores, a line each, for the table and the page."""
    return [
        *label_lines(study),
        *_unscored(study),
        *_without_request(study),
        *contamination_lines(study),
        *imported_notes(study),
    ]


def _unscored(study: Study) -> list[str]:
    """Count the items without a score, by benchmark; they take no part in any score."""
    counts = {
        name: sum(row.scores[name].unscored for row in study.rows if name in row.scores) for name in study.benchmarks
    }
    parts = [f"{name} {count}" for name, count in counts.items() if count]
    return [f"unscored items of all points: {', '.join(parts)}"] if parts else []


def _without_request(study: Study) -> list[str]:
    """Return a line for each point that is asked for ratings: its scores without the request."""
    lines = []
    for row in study.trained:
        plain = {name: row.scores.get(f"{name}/{WITHOUT_REQUEST}") for name in study.benchmarks}
        found = [f"{name} {with_half_width(score, decimals([score]))}" for name, score in plain.items() if score]
        if found:
            label = row_label(row, study.varying)
            lines.append(f"{label}: asked for ratings; without the request {', '.join(found)}")
    return lines


def items_text(study: Study, benchmarks: Iterable[str] | None = None) -> str:
    """Write the number of items behind the scores: `n = 240 items per benchmark`."""
    counts: dict[str, set[int]] = {}
    for row in study.rows:
        for benchmark in study.benchmarks if benchmarks is None else benchmarks:
            if benchmark in row.scores:
                counts.setdefault(benchmark, set()).add(row.scores[benchmark].n)
    alike = set().union(*counts.values())
    if len(alike) == 1:
        return f"n = {alike.pop()} items" + (" per benchmark" if len(counts) > 1 else "")
    parts = [f"{name} {'–'.join(str(n) for n in sorted({min(ns), max(ns)}))}" for name, ns in counts.items()]
    return f"n items: {', '.join(parts)}"


def failures(study: Study) -> list[str]:
    """Return a line for each point that failed or was interrupted."""
    lines = []
    for row in study.rows:
        if row.state == State.interrupted:
            lines.append(f"interrupted  {row.point}: its process has ended; rerun the same command to continue")
        elif row.state in FAILED or row.error:
            tries = f" (attempt {row.attempts})" if row.attempts > 1 else ""
            lines.append(f"{row.state}  {row.point}: {row.error or 'no reason given'}{tries}")
    return lines


def jobs(study: Study) -> list[str]:
    """Return where points run and what they wait for; points with the same state and place share a line."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in study.rows:
        if row.job:
            found.setdefault((row.state, row.job), []).append(row.point)
    return [
        f"{state}  {points[0] if len(points) == 1 else f'{len(points)} points'}: {job}"
        for (state, job), points in found.items()
    ]


def next_stages(study: Study) -> list[str]:
    """Return a line for the points of each state between two stages, with the stage to type next."""
    stages = {State.trained: "stage=evaluate", State.answered: "stage=judge"}
    counts = Counter(row.state for row in study.rows if row.role != Role.imported)
    return [
        f"{state}  {counts[state]} points: rerun the same command with {stage}, or without stage= for what is missing"
        for state, stage in stages.items()
        if counts[state]
    ]


def summary_columns(study: Study) -> list[str]:
    """Return the header of summary.csv."""
    scores = dict.fromkeys(key for row in study.rows for key in row.scores)
    metrics = [name for key in scores for name in (key, f"{key}_low", f"{key}_high", f"{key}_n")]
    settings = sorted({key for row in study.rows for key in row.settings})
    return [
        *("point", "role", "state", *POINT_AXES, *settings),
        *metrics,
        *("steps", "examples", "epochs", "seconds", "error"),
    ]


def write_summary(study: Study, path: Path) -> None:
    """Write one row per point: axes, then metrics; an absent value is an empty field.

    Spreadsheets compute what begins like a formula, so such text is preceded by an apostrophe.
    """
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        columns = summary_columns(study)
        for cells in [dict(zip(columns, columns, strict=True)), *map(_summary, study.rows)]:
            writer.writerow([spreadsheet_cell(cells.get(name)) for name in columns])


def _summary(row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {"point": row.point, "role": row.role, "state": row.state}
    cells |= {axis: row.axes.get(axis) for axis in POINT_AXES} | row.settings
    for key, score in row.scores.items():
        cells |= {key: score.value, f"{key}_low": score.low, f"{key}_high": score.high, f"{key}_n": score.n}
    counts = {"steps": row.steps, "examples": row.examples, "epochs": row.epochs}
    return cells | counts | {"seconds": row.seconds, "error": row.error}


def _best(study: Study, benchmark: str, places: int) -> set[str]:
    """Return the points with the best score as written; only the base and the trained points compete.

    There is none if their scores cannot be compared.
    """
    if is_mixed(study, benchmark):
        return set()
    scores = {
        row.point: sign(benchmark) * round(row.scores[benchmark].value, places)
        for row in study.rows
        if benchmark in row.scores and row.role in COMPETING
    }
    return {point for point, value in scores.items() if value == max(scores.values())} if len(scores) > 1 else set()


def _name_cells(row: Row, keys: list[str]) -> list[str]:
    """Return the first columns; a reference model's name stands where the axes have no value."""
    if row.role == Role.trained:
        return [value_text(key, row.value(key)) for key in keys] or [value_text("method", row.axes.get("method"))]
    if row.role == Role.imported:
        return [imported_label(row), *("" for _ in keys[1:])]
    settings = [value_text(key, row.value(key)) if row.value(key) is not None else "" for key in keys[1:]]
    return [ROLES.get(row.role, row.role), *settings]


def _state(row: Row) -> str:
    colour = COLOURS.get(row.state)
    return f"[{colour}]{row.state}[/]" if colour else markup_safe(row.state)
