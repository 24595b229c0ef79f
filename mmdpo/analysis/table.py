"""A study as tables on the terminal: scores, gains over the base, and notes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.contamination_lines import contamination_lines
from mmdpo.analysis.gain_caveats import gain_caveats
from mmdpo.analysis.gain_table import gain_notes, gain_tables
from mmdpo.analysis.gains import Gains, study_gains
from mmdpo.analysis.importance import importance_lines
from mmdpo.analysis.imported import imported_notes, imported_warnings
from mmdpo.analysis.label_lines import label_lines, mixed_lines
from mmdpo.analysis.labels import ROLE_NOTES, decimals, half_width, row_label, short_number
from mmdpo.analysis.plan_lines import DEPARTED, plan_lines
from mmdpo.analysis.pruned_lines import pruned_lines
from mmdpo.analysis.score_table import rows_of_table, score_table, shown_keys, split_benchmarks
from mmdpo.analysis.study import FAILED, Study
from mmdpo.analysis.warning_lines import warning_lines
from mmdpo.console import markup_safe, print_wrapped, printable
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import WITHOUT_REQUEST
from mmdpo.points.identity import Role
from mmdpo.points.status import State

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_table(study: Study, console: Console, by_seed: bool = False) -> None:
    """Print the tables in the fullest form that fits the console, then notes, jobs, warnings and failures.

    Args:
        study: The study.
        console: The console.
        by_seed: Whether scores are shown of each seed; gains are those of results in any case.
    """
    gains = study_gains(study)
    parts = comparable_parts(study)
    for part in parts:
        if part.heading:
            console.print(f"[bold]{markup_safe(part.heading)}[/]", soft_wrap=True)
        for one in _tables(part.study, study, gains, console, by_seed):
            console.print(one)
        if part.heading and part.study.benchmarks:
            console.print(f"[dim]{markup_safe(items_text(part.study))}[/]\n")
    for note in notes(study, gains):
        console.print(f"[dim]{markup_safe(note)}[/]")
    for part in parts:
        for index, line in enumerate(importance_lines(part.study, part.heading)):
            print_wrapped(console, line, indent=2 if index else 0, style="dim")
    for line in plan_lines(study, gains):
        print_wrapped(console, line, indent=2, style="yellow" if line.startswith(DEPARTED) else "")
    for line in mixed_lines(study):
        console.print(f"[yellow]{markup_safe(line)}[/]", soft_wrap=True)
    for line in [*jobs(study), *next_stages(study)]:
        console.print(printable(line), soft_wrap=True, markup=False)
    for line in [*imported_warnings(study), *warning_lines(study, gains)]:
        console.print(f"[yellow]{markup_safe(line)}[/]", soft_wrap=True)
    for line in failures(study):
        console.print(f"[red]{markup_safe(line)}[/]", soft_wrap=True)


def _tables(study: Study, whole: Study, gains: Gains, console: Console, by_seed: bool) -> list[Table]:
    """Make the tables of scores and gains: as few as fit the console, and the fullest form among these."""
    from rich.measure import Measurement

    unlimited = console.options.update(width=10_000)

    def fits(one: Table) -> bool:
        return Measurement.get(console, unlimited, one).maximum <= console.width

    keys = shown_keys(study, whole, by_seed)
    groups = rows_of_table(study, keys)
    scores = {name: [group.score(name) for group in groups] for name in study.benchmarks}
    tables: list[Table] = []
    for style in (with_bounds, with_half_width, stacked):
        tables = [score_table(study, groups, scores, style, study.benchmarks, keys)]
        if fits(tables[0]):
            break
    else:

        def part_fits(names: Sequence[str]) -> bool:
            return fits(score_table(study, groups, scores, with_half_width, names, keys))

        parts = split_benchmarks(study.benchmarks, part_fits)
        narrow = [stacked if len(names) < 2 else with_half_width for names in parts]
        tables = [
            score_table(study, groups, scores, style, names, keys) for style, names in zip(narrow, parts, strict=True)
        ]
    own = shown_keys(study, whole)
    return [*tables, *gain_tables(study, rows_of_table(study, own), gains, own, fits)]


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


def notes(study: Study, gains: Gains) -> list[str]:
    """Return the notes below the tables: intervals, n, gains, the models that were not trained."""
    lines = []
    if study.benchmarks:
        several = any(len(group.rows) > 1 for group in rows_of_table(study, shown_keys(study)))
        lines.append(f"± or [ ]: {study.resampled()}{' and seeds' if several else ''}; {items_text(study)}")
        lines.append("bold: best score as measured, of the base and the trained points; s: seconds")
    present = {row.role for row in study.rows}
    names = [note for role, note in ROLE_NOTES.items() if role in present]
    return [*lines, *gain_notes(study, gains), *gain_caveats(study, gains), *names, *footnotes(study)]


def footnotes(study: Study) -> list[str]:
    """Return the notes on the scores, a line each, for the table and the page."""
    return [
        *label_lines(study),
        *_unscored(study),
        *_without_request(study),
        *contamination_lines(study),
        *imported_notes(study),
        *pruned_lines(study),
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
