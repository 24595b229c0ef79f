"""Search for points by their settings and scores, in all studies below a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.find import list_studies
from mmdpo.analysis.gains import Gains, GainVerdict, gain_over, study_gains
from mmdpo.analysis.groups import Group, base_of, groups
from mmdpo.analysis.labels import column, decimals, value_text
from mmdpo.analysis.search_terms import KeyKind, Term
from mmdpo.analysis.study import Row, Study, read_study
from mmdpo.console import markup_safe
from mmdpo.evaluation.task import in_order
from mmdpo.files import Unreadable, read_bytes
from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.results import RESULT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHOWN = 5  # values in a message
PATTERN = set("*?[")
MARK = "*"
"""The mark of a gain that is distinguishable from none."""


@dataclass(frozen=True)
class Match:
    """Points of one study that match all terms and differ only in their seed; or a single one.

    Attributes:
        study: The study.
        rows: The points.
        gains: The gains of the study.
        whole: Whether these are all points of one result, which the gains and verdicts of the study are about.
    """

    study: Study
    rows: tuple[Row, ...]
    gains: Gains
    whole: bool = True

    @property
    def name(self) -> str:
        """The name of the point; of several, what their names have in common, with the seeds."""
        first = self.rows[0]
        if len(self.rows) == 1:
            return first.point
        begins = {row.point.rpartition("-seed")[0] for row in self.rows}
        seeds = ",".join(str(row.axes.get("seed")) for row in self.rows)
        return f"{begins.pop()}-seed{seeds}" if len(begins) == 1 else f"{first.point} and {len(self.rows) - 1} more"

    @property
    def state(self) -> str:
        """The state of the points, with counts if they differ."""
        counts = Counter(str(row.state) for row in self.rows)
        return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{n} {state}" for state, n in counts.items())

    @property
    def date(self) -> str:
        """The day on which the last of the points ended."""
        return max(str(row.status.get("finished") or "")[:10] for row in self.rows)


def search_points(outputs: Path, terms: Sequence[Term]) -> list[Match]:
    """Return the points of all studies that match all terms, those of one result together.

    Args:
        outputs: The folder of the studies.
        terms: The terms.
    """
    found: list[Match] = []
    for folder in list_studies(outputs):
        if not any(_may_match(point, terms) for point in _point_folders(folder)):
            continue
        study = read_study(folder)
        rows = [row for row in study.rows if all(term.matches(row) for term in terms)]
        if rows:
            found += _by_result(study, rows, any(term.key in ("seed", "point") for term in terms))
    return found


def nothing_found(outputs: Path, terms: Sequence[Term]) -> str:
    """Say how many points match each term alone, and which values there are of one that none matches."""
    rows = [row for folder in list_studies(outputs) for row in read_study(folder, may_be_empty=True).rows]
    lines = [f"no point of the {len(rows)} below {outputs}/ matches {' '.join(term.typed for term in terms)}"]
    for term in terms:
        count = sum(map(term.matches, rows))
        values = dict.fromkeys(_text(term, value) for row in rows if (value := term.value_of(row)) is not None)
        more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
        there = f"; there are {', '.join([*values][:SHOWN])}{more}" if not count and values else ""
        lines.append(f"  {term.typed}: {count} points{there}")
    return "\n".join(lines)


def print_matches(matches: Sequence[Match], terms: Sequence[Term], console: Console) -> None:
    """Print the points with the keys that were asked for, and their main scores with the gains over their bases.

    Benchmarks for which there is no room are named below the table.
    """
    from rich.measure import Measurement

    asked = dict.fromkeys(term.key.partition("/")[0] for term in terms if term.kind is KeyKind.score)
    benchmarks = in_order(list(dict.fromkeys(name for one in matches for name in one.study.benchmarks)))
    benchmarks = [*(name for name in asked if name in benchmarks), *(name for name in benchmarks if name not in asked)]
    unlimited = console.options.update(width=10_000)
    for count in range(len(benchmarks), -1, -1):
        table = _table(matches, terms, benchmarks[:count])
        if count <= 1 or Measurement.get(console, unlimited, table).maximum <= console.width:
            break
    console.print(table)
    notes = [f"{sum(len(one.rows) for one in matches)} points"]
    if count and any(one.gains.by_group for one in matches):
        notes.append(f"+ −: gain over the base; {MARK} better or worse, corrected for the comparisons of its study")
    if count and not all(one.whole for one in matches):
        notes.append("single seeds of a result have no verdict; their results have one")
    if hidden := benchmarks[count:]:
        notes.append(f"not shown: {', '.join(hidden)} (in a wider terminal)")
    for note in notes:
        console.print(f"[dim]{markup_safe(note)}[/]", soft_wrap=True)


def _table(matches: Sequence[Match], terms: Sequence[Term], benchmarks: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    keys = {column(term.key): term for term in terms if term.kind in (KeyKind.axis, KeyKind.config)}
    parts = [term.key for term in terms if term.kind is KeyKind.score and "/" in term.key]
    scores = [*benchmarks, *dict.fromkeys(parts)]
    places = {
        key: decimals(row.scores[key] for one in matches for row in one.rows if key in row.scores) for key in scores
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("study", "point", "state"):
        table.add_column(heading, overflow="fold")
    for heading in (*keys, *scores):
        table.add_column(markup_safe(heading), justify="right", no_wrap=heading in scores)
    table.add_column("date", no_wrap=True)
    for one in matches:
        values = [_text(term, term.value_of(one.rows[0])) for term in keys.values()]
        cells = [
            one.study.name,
            one.name,
            one.state,
            *values,
            *(_score(one, key, places[key]) for key in scores),
            one.date,
        ]
        table.add_row(*map(markup_safe, cells))
    return table


def _score(match: Match, key: str, places: int) -> str:
    """Write a score with its gain over the base, which is marked if it is distinguishable."""
    values = [row.scores[key].value for row in match.rows if key in row.scores]
    if not values:
        return "–"
    text = f"{sum(values) / len(values):.{places}f}"
    if match.whole:
        gain = match.gains.of_point(match.rows[0].point, key)
        clear = gain is not None and gain.verdict not in (None, GainVerdict.unclear)
        return text if gain is None else f"{text} {_signed(gain.estimate.value, places)}{MARK if clear else ' '}"
    single = Group("", match.rows[0].role, match.rows)
    base = base_of(match.study, single)
    own = gain_over(base, single, key, match.study.confidence) if base else None
    return text if own is None else f"{text} {_signed(own.value, places)} "


def _signed(value: float, places: int) -> str:
    return f"{round(value, places) + 0.0:+.{places}f}"  # no negative zero


def _by_result(study: Study, rows: Sequence[Row], by_point: bool) -> Iterator[Match]:
    """Put rows together that are all points of one result, unless each point is asked for."""
    gains = study_gains(study)
    several = [group.rows for group in groups(study) if len(group.rows) > 1]
    group_of = {row.point: group for group in several for row in group}
    names, taken = {row.point for row in rows}, set[str]()
    for row in rows:
        group = group_of.get(row.point, (row,))
        whole = len(group) == 1 or (not by_point and all(one.point in names for one in group))
        if row.point not in taken:
            found = Match(study, group if whole else (row,), gains, whole)
            taken |= {one.point for one in found.rows}
            yield found


def _may_match(point: Path, terms: Sequence[Term]) -> bool:
    """Return whether a point may match, by the axes of its result and the words of its config: a quick look."""
    axes = (mapping_or_none(point / RESULT) or {}).get("axes")
    if isinstance(axes, dict) and not all(
        term.allows(axes.get(term.key)) for term in terms if term.kind is KeyKind.axis
    ):
        return False
    words = [
        [value.encode() for value in term.values]
        for term in terms
        if term.kind is KeyKind.config and term.comparison == "=" and not any(map(_is_special, term.values))
    ]
    try:
        text = read_bytes(point / "config.yaml") if words else b""
    except (OSError, Unreadable):
        return True
    return all(any(value in text for value in values) for values in words)


def _is_special(value: str) -> bool:
    """Return whether a value is no word that a config would hold as it was typed: a number, pattern or default."""
    try:
        float(value)
        return True
    except ValueError:
        return bool(PATTERN & set(value)) or value.lower() in ("null", "none", "", "true", "false")


def _point_folders(study: Path) -> list[Path]:
    return [path for path in study.iterdir() if not path.name.startswith(".") and (path / "config.yaml").exists()]


def _text(term: Term, value: Any) -> str:
    return value_text(term.key, value) if term.kind is not KeyKind.axis else _typed(value)


def _typed(value: Any) -> str:
    """Write the value of an axis as it is typed in an override."""
    if value is None:
        return "–"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
