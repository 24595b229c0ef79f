"""The gains of a study's results over their base, as tables on the terminal with intervals and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmdpo.analysis.gains import Gain, Gains, GainVerdict
from mmdpo.analysis.groups import Group
from mmdpo.analysis.labels import decimals, estimate_text
from mmdpo.analysis.score_table import begin_section, name_cells, new_table, split_benchmarks
from mmdpo.analysis.study import Study
from mmdpo.console import markup_safe

if TYPE_CHECKING:
    from rich.table import Table


TITLE = "gain over the base"
STYLES: dict[GainVerdict, str] = {GainVerdict.better: "green", GainVerdict.worse: "red", GainVerdict.unclear: "dim"}


def gain_tables(
    study: Study, groups: Sequence[Group], gains: Gains, keys: Sequence[str], fits: Callable[[Table], bool]
) -> list[Table]:
    """Make as few tables of all gains as fit the console; the verdict stands beside or below the interval.

    Args:
        study: The study.
        groups: The rows of its table of scores.
        gains: The gains of its results.
        keys: The axes and settings that have a column.
        fits: Return whether a table fits.
    """
    rows = [group for group in groups if any(gain_of(gains, group, name) for name in study.benchmarks)]
    names = [name for name in study.benchmarks if any(gain_of(gains, group, name) for group in rows)]
    if not rows:
        return []
    choices: list[tuple[bool, int, list[Table]]] = []
    for below in (False, True):

        def table_of(part: Sequence[str], below: bool = below) -> Table:
            return _table(study, rows, gains, keys, part, below)

        tables = [*map(table_of, split_benchmarks(names, lambda part: fits(table_of(part))))]
        choices.append((not all(map(fits, tables)), len(tables), tables))
    return min(choices, key=lambda choice: choice[:2])[2]


def gain_of(gains: Gains, group: Group, key: str) -> Gain | None:
    """Return the gain of a result of which some points may be unfinished."""
    return next((gain for row in group.scored(key) if (gain := gains.of_point(row.point, key))), None)


def gain_notes(study: Study, gains: Gains) -> list[str]:
    """Return the notes below the tables of gains: what is paired, what verdicts are corrected for, single seeds."""
    if not gains.by_group:
        scored = any(row.scores for row in study.trained)
        return ["no gains: the study has no scores of a base to compare with"] if scored and study.benchmarks else []
    seeds = [max(gain.estimate.seeds for gain in found.values()) for found in _trained(study, gains)]
    paired = "paired over items and seeds" if any(count > 1 for count in seeds) else "paired over items"
    level = f"{100 * study.confidence:g} % interval"
    kind = "exploratory comparison" if gains.planned else "comparison"
    count = f"{gains.comparisons} {kind}{'s'[: gains.comparisons != 1]}"
    lines = [f"gain: {paired}, {level}; verdicts corrected for {count} (Holm), uncorrected p in results.csv"]
    if gains.planned:
        lines.append("the planned comparisons are corrected among themselves; see the lines about the plan")
    if single := seeds.count(1):
        whose = "1 result has" if single == 1 else f"{single} results have"
        lines.append(f"{whose} one seed: no interval for the spread of training, which seed=0,1,2 measures")
    return [*lines, *_fewer_items(study, gains)]


def _fewer_items(study: Study, gains: Gains) -> list[str]:
    """Return a line if gains are over fewer items than the scores, since points have scores of different ones."""
    parts = []
    for key in study.benchmarks:
        counts = [gain.estimate.n for found in gains.by_group.values() if (gain := found.get(key))]
        most = max(row.scores[key].n for row in study.rows if key in row.scores)
        if counts and min(counts) < most:
            parts.append(f"{key} {min(counts)} of {most}")
    return [f"gains over fewer items, which both sides have scores of: {', '.join(parts)}"] if parts else []


def _trained(study: Study, gains: Gains) -> list[dict[str, Gain]]:
    names = {row.point for row in study.trained}
    return [found for group, found in gains.by_group.items() if found and names.intersection(group)]


def gain_decimals(study: Study, gains: Gains, key: str) -> int:
    """Return the decimals of the gains on a score: one more than its own if an interval would seem to touch 0."""
    places = decimals(row.scores[key] for row in study.rows if key in row.scores)
    found = [gain for one in gains.by_group.values() if (gain := one.get(key))]
    decided = [gain.estimate for gain in found if gain.verdict in (GainVerdict.better, GainVerdict.worse)]
    near = min((min(abs(one.low), abs(one.high)) for one in decided), default=1.0)
    return places + (near < 0.5 * 10**-places)


def _table(
    study: Study, groups: Sequence[Group], gains: Gains, keys: Sequence[str], benchmarks: Sequence[str], below: bool
) -> Table:
    table = new_table(study, keys, TITLE)
    for name in benchmarks:
        table.add_column(markup_safe(name), no_wrap=True)
    places = {name: gain_decimals(study, gains, name) for name in benchmarks}
    for index, group in enumerate(groups):
        begin_section(table, groups, index)
        found = [(gain_of(gains, group, name), places[name]) for name in benchmarks]
        table.add_row(*name_cells(group, keys), *(_cell(gain, digits, below) for gain, digits in found))
    return table


def _cell(gain: Gain | None, places: int, below: bool) -> str:
    if gain is None:
        return "–"
    text = markup_safe(estimate_text(gain.estimate, places))
    if gain.verdict is None:
        return text
    style = STYLES[gain.verdict]
    verdict = f"[{style}]{gain.verdict}[/]"
    return (
        f"[dim]{text}[/]{_gap(below)}{verdict}" if gain.verdict is GainVerdict.unclear else text + _gap(below) + verdict
    )


def _gap(below: bool) -> str:
    return "\n" if below else " "
