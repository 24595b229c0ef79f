"""The scores of a study's results as a table on the terminal: one row per result, or one per point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.groups import Group, varying_but_seed, with_own_seeds
from mmdpo.analysis.label_lines import COMPETING, is_mixed
from mmdpo.analysis.labels import ROLES, column, decimals, imported_label, row_label, sign, value_text
from mmdpo.analysis.study import POINT_AXES, Row, Study
from mmdpo.console import markup_safe
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role
from mmdpo.points.status import State

if TYPE_CHECKING:
    from rich.table import Table

Style = Callable[[Score, int], str]
"""A way to write a score with a number of decimals."""

COLOURS: dict[str, str] = {
    State.running: "cyan",
    State.failed: "red",
    State.unreadable: "red",
    State.interrupted: "yellow",
    State.cancelled: "yellow",
    State.pruned: "dim",
}


def rows_of_table(study: Study, keys: Sequence[str]) -> list[Group]:
    """Return the results of a study, with points that have no scores yet; models that were not trained come first.

    Args:
        study: The study.
        keys: The axes and settings that have a column; with `seed`, each seed is a row of its own.
    """
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in study.rows:
        alone = row.role != Role.trained
        name = (row.point,) if alone else tuple(row.value(key) for key in keys)
        found.setdefault((alone, *name), []).append(row)
    return [group for rows in found.values() for group in with_own_seeds(row_label(rows[0], keys), rows)]


def shown_keys(study: Study, whole: Study | None = None, by_seed: bool = False) -> list[str]:
    """Return the axes and settings that have a column.

    Args:
        study: The study, or a part of one.
        whole: The study that it is a part of, whose axes have columns in all parts.
        by_seed: Whether seeds have one.
    """
    own = study.varying if by_seed else varying_but_seed(study)
    axes = [key for key in (whole or study).varying if key in POINT_AXES and (by_seed or key != "seed")]
    return axes + [key for key in own if key not in POINT_AXES]


Scores = Mapping[str, Sequence[Score | None]]
"""The scores of the rows of a table by benchmark."""


def score_table(
    study: Study,
    groups: Sequence[Group],
    scores: Scores,
    style: Style,
    benchmarks: Sequence[str],
    keys: Sequence[str],
) -> Table:
    """Make the table: models that were not trained first, the best score of each benchmark in bold.

    Args:
        study: The study.
        groups: Its rows.
        scores: Their scores.
        style: Writes a score.
        benchmarks: The benchmarks to show.
        keys: The axes and settings that have a column.
    """
    with_state = any(row.state != State.done for row in study.rows)
    with_seeds = any(len(group.rows) > 1 for group in groups)
    table = new_table(study, keys)
    if with_state:
        table.add_column("state")
    for benchmark in benchmarks:
        table.add_column(markup_safe(benchmark), justify="right", no_wrap=True)
    for heading in ("seeds", "steps", "s") if with_seeds else ("steps", "s"):
        table.add_column(heading, justify="right")
    places = {name: decimals(score for score in scores[name] if score) for name in benchmarks}
    best = {name: _best(study, groups, scores[name], name, places[name]) for name in benchmarks}
    for index, group in enumerate(groups):
        begin_section(table, groups, index)
        cells = name_cells(group, keys)
        if with_state:
            cells.append(_state(group))
        for name in benchmarks:
            score = scores[name][index]
            cell = markup_safe(style(score, places[name])) if score else "–"
            cells.append(f"[bold]{cell}[/]" if index in best[name] else cell)
        if with_seeds:
            cells.append(_seeds(group))
        table.add_row(*cells, _steps(group), _seconds(group))
    return table


def new_table(study: Study, keys: Sequence[str], title: str | None = None) -> Table:
    """Return a table with the columns that name a result.

    Args:
        study: The study.
        keys: The axes and settings that have a column.
        title: The title; None for the study's name.
    """
    from rich import box
    from rich.table import Table

    title = study.name if title is None else title
    table = Table(title=markup_safe(title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(markup_safe(column(keys[0])) if keys else "method" if study.trained else "point")
    for key in keys[1:]:
        table.add_column(markup_safe(column(key)), justify="right")
    return table


def begin_section(table: Table, groups: Sequence[Group], index: int) -> None:
    """Begin a section of a table before the first trained result and before the first imported row."""
    role = groups[index].role
    if index and groups[index - 1].role != role and role in (Role.trained, Role.imported):
        table.add_section()


def name_cells(group: Group, keys: Sequence[str]) -> list[str]:
    """Return the first columns; the name of a model that was not trained stands where the axes have no value."""
    row = group.rows[0]
    if row.role == Role.trained:
        cells = [value_text(key, row.value(key)) for key in keys] or [value_text("method", row.axes.get("method"))]
        cells[0] += group.suffix
    elif row.role == Role.imported:
        cells = [imported_label(row), *("" for _ in keys[1:])]
    else:
        settings = [value_text(key, row.value(key)) if row.value(key) is not None else "" for key in keys[1:]]
        cells = [ROLES.get(row.role, row.role), *settings]
    return [*map(markup_safe, cells)]


def split_benchmarks(benchmarks: Sequence[str], fits: Callable[[Sequence[str]], bool]) -> list[list[str]]:
    """Divide benchmarks into as few tables of similar width as fit the console; a single one stands alone.

    Args:
        benchmarks: The benchmarks.
        fits: Return whether a table of some benchmarks fits.
    """
    for count in range(1, len(benchmarks)):
        size, more = divmod(len(benchmarks), count)
        ends = [index * size + min(index, more) for index in range(count + 1)]
        parts = [list(benchmarks[low:high]) for low, high in pairwise(ends)]
        if all(map(fits, parts)):
            return parts
    return [[name] for name in benchmarks] or [[]]


def _best(
    study: Study, groups: Sequence[Group], scores: Sequence[Score | None], benchmark: str, places: int
) -> set[int]:
    """Return the indices of the results with the best score as written; only base and trained results compete.

    There is none if their scores cannot be compared.
    """
    if is_mixed(study, benchmark):
        return set()
    values = {
        index: sign(benchmark) * round(score.value, places)
        for index, (group, score) in enumerate(zip(groups, scores, strict=True))
        if score and group.role in COMPETING
    }
    return {index for index, value in values.items() if value == max(values.values())} if len(values) > 1 else set()


def _state(group: Group) -> str:
    counts = Counter(row.state for row in group.rows)
    cells = []
    for state, count in counts.items():
        text = markup_safe(state if len(counts) == 1 else f"{count} {state}")
        cells.append(f"[{COLOURS[state]}]{text}[/]" if state in COLOURS else text)
    return ", ".join(cells)


def _seeds(group: Group) -> str:
    if group.role != Role.trained:
        return ""
    done = sum(bool(row.scores) for row in group.rows)
    return str(done) if done == len(group.rows) else f"{done} of {len(group.rows)}"


def _steps(group: Group) -> str:
    steps = sorted({row.steps for row in group.rows if row.steps is not None})
    return "–".join(map(str, dict.fromkeys([steps[0], steps[-1]]))) if steps else "–"


def _seconds(group: Group) -> str:
    seconds = [row.seconds for row in group.rows if row.seconds is not None]
    return f"{sum(seconds) / len(seconds):.0f}" if seconds else "–"
