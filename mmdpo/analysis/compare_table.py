"""A comparison of results with a reference as a table on the terminal, and the notes below it."""

from __future__ import annotations

import math
from string import ascii_uppercase
from typing import TYPE_CHECKING

from mmdpo.analysis.compare import Comparison, Difference
from mmdpo.analysis.gain_table import STYLES
from mmdpo.analysis.groups import Group
from mmdpo.analysis.other_differences import other_differences
from mmdpo.console import markup_safe
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the results' names, the table in the fullest form that fits the console, and the notes."""
    from rich.measure import Measurement

    for index, group in enumerate([comparison.reference, *(result.group for result in comparison.results)]):
        console.print(f"[bold]{letter(index)}[/]: {markup_safe(_title(group))}", soft_wrap=True)
    unlimited = console.options.update(width=10_000)
    table = comparison_table(comparison)
    if Measurement.get(console, unlimited, table).maximum > console.width:
        table = comparison_table(comparison, narrow=True)
    console.print(table)
    for note in comparison_notes(comparison):
        console.print(f"[dim]{markup_safe(note)}[/]", soft_wrap=True)


def letter(index: int) -> str:
    """Return the name of a result in the table: A for the reference, B, C, ..., Z, A1, B1, ..."""
    round_, place = divmod(index, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(round_) if round_ else "")


def comparison_table(comparison: Comparison, narrow: bool = False) -> Table:
    """Make the table of all differences from the reference.

    Args:
        comparison: The comparison.
        narrow: Whether to leave out p values and wins, for a console of 80 columns.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    several = len(comparison.results) > 1
    table.add_column("" if several else "score")
    table.add_column("score" if several else "part")
    headings = ("minus A" if several else "B − A", f"{100 * comparison.confidence:g} % interval", "n")
    for heading in (*headings, *(() if narrow else ("p",))):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=not narrow)
    if not narrow:
        table.add_column("better / equal / worse", justify="right", no_wrap=True)
    for index, result in enumerate(comparison.results, 1):
        if several and index > 1:
            table.add_section()
        previous = ""
        for one in result.differences:
            if not several and previous and one.benchmark != previous:
                table.add_section()
            names = _names(one, letter(index) if previous == "" else "") if several else _single(one, previous)
            table.add_row(*map(markup_safe, names), *_cells(one, narrow))
            previous = one.benchmark
    return table


def _names(one: Difference, first: str) -> tuple[str, str]:
    name = one.benchmark
    return first, f"{name}: {one.part.replace('_', ' ')}" if one.part else name


def _single(one: Difference, previous: str) -> tuple[str, str]:
    return one.benchmark if one.benchmark != previous else "", one.part.replace("_", " ")


def _cells(one: Difference, narrow: bool) -> list[str]:
    estimate = one.estimate
    places = 1 if max(abs(estimate.low), abs(estimate.high), abs(estimate.value)) >= 20 else 2
    interval = "–" if math.isnan(estimate.low) else f"[{estimate.low:+.{places}f}, {estimate.high:+.{places}f}]"
    verdict = f"[{STYLES[one.verdict]}]{one.verdict}[/]" if one.verdict else ""
    cells = [f"{estimate.value:+.{places}f}", markup_safe(interval), str(estimate.n)]
    if narrow:
        return [*cells, verdict]
    counts = "–" if one.wins is None else f"{one.wins} / {one.ties} / {one.losses}"
    return [*cells, p_text(estimate.p), verdict, counts]


def p_text(p: float) -> str:
    """Write a p value: `.04`, `<.001`."""
    if math.isnan(p):
        return "–"
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def comparison_notes(comparison: Comparison) -> list[str]:
    """Return the notes below the table."""
    groups = [comparison.reference, *(result.group for result in comparison.results)]
    seeds = any(len(group.rows) > 1 for group in groups)
    count = f"{comparison.comparisons} comparison{'s'[: comparison.comparisons != 1]}"
    lines = [
        f"paired over the same items{' and over seeds' if seeds else ''}; intervals and p are not corrected",
        f"verdicts are corrected for {count} (Holm); parts of scores have no verdict",
    ]
    if single := sum(len(group.rows) == 1 and group.role == Role.trained for group in groups):
        whose = "1 result has" if single == 1 else f"{single} results have"
        lines.append(f"{whose} one seed: no interval for the spread of training, which seed=0,1,2 measures")
    for index, result in enumerate(comparison.results, 1):
        name = "" if len(comparison.results) == 1 else f"{letter(index)}: "
        lines += [f"{name}{note}" for note in result.notes]
        lines += [f"{name}other {line}" for line in other_differences(comparison.reference, result.group)]
    if comparison.left_out:
        lines.append(f"left out, since they have no scores: {', '.join(comparison.left_out)}")
    return lines


def _title(group: Group) -> str:
    """Write a result: its label, its seeds, and the names of its points with their studies."""
    seeds = [str(row.axes.get("seed")) for row in group.rows]
    pooled = f", seeds {', '.join(seeds)}" if len(seeds) > 1 else ""
    names = [f"{row.folder.parent.name}/{row.point}" for row in group.rows]
    listed = ", ".join(names) if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return f"{group.label}{pooled}  ({listed})"
