"""Table 2 of the paper: the methods by the benchmarks, with gains over the base and the paper's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmdpo.analysis.gain_caveats import gain_caveats
from mmdpo.analysis.gains import Gains
from mmdpo.analysis.groups import Group, groups, references
from mmdpo.analysis.labels import benchmark_label, estimate_text
from mmdpo.analysis.paper.numbers import (
    estimate_columns,
    places_of,
    plain_number,
    printed_text,
    score_text,
)
from mmdpo.analysis.paper.published import corresponding, published_score, reasons
from mmdpo.analysis.paper.table import EMPTY, Cell, PaperTable, TableRow
from mmdpo.analysis.study import Study
from mmdpo.analysis.table import items_text
from mmdpo.points.identity import Role

ORDER = (Role.before_visual_tuning, Role.base, Role.start, Role.imported)
"""The rows above those of the methods."""
MOST_NAMED = 8
"""The number of scores with unscored items up to which each is named."""


def table_rows(study: Study) -> list[list[Group]]:
    """Return the rows of the paper's tables: before visual tuning and base, imported rows, and results."""
    known = sorted(references(study), key=lambda group: ORDER.index(Role(group.role)) if group.role in ORDER else 9)
    models = [group for group in known if group.role != Role.imported]
    imported = [group for group in known if group.role == Role.imported]
    return [section for section in (models, imported, groups(study)) if section]


def methods_table(study: Study, gains: Gains, name: str = "table_2", heading: str = "") -> PaperTable:
    """Make the table of rows whose scores can be compared.

    Args:
        study: The study, or a part of one.
        gains: The gains of the whole study, whose verdicts are corrected for all of its comparisons.
        name: The name of the table's files.
        heading: What the rows have in common, if others of the study have it otherwise.
    """
    sections, tasks = table_rows(study), study.benchmarks
    every = [group for section in sections for group in section]
    places = {task: places_of([score for group in every if (score := group.score(task))], task) for task in tasks}
    seeds = " (of several seeds, over items and seeds)" if any(len(group.rows) > 1 for group in every) else ""
    notes = [f"First line: score and half of its {study.resampled()}{seeds}; {items_text(study)}."]
    if any(gains.of(group, task) for group in every for task in tasks):
        notes.append(
            "Second line: gain over the base on the same items, with an interval over items and seeds. Verdicts are "
            f"corrected for the {gains.comparisons} comparisons of the study (Holm)."
        )
    notes += _unscored(every, tasks)
    notes += gain_caveats(study, gains)
    if single := [group for group in every if group.role == Role.trained and len(group.rows) == 1]:
        which = "All results" if len(single) == len(groups(study)) else f"{len(single)} results"
        notes.append(f"{which} of one seed: the interval is about this one model, not about the training.")
    return PaperTable(
        name,
        "Scores of the models by benchmark" + (f" ({heading})." if heading else "."),
        ["", *map(benchmark_label, tasks)],
        [
            [TableRow(_name(one), [_cell(one, task, gains, places[task]) for task in tasks]) for one in s]
            for s in sections
        ],
        [*notes, *reasons(every, tasks)],
        [record for group in every for record in _records(group, tasks, gains, heading)],
    )


def _unscored(rows: Sequence[Group], tasks: Sequence[str]) -> list[str]:
    """Return a line that names the scores with unscored items, or counts these items if there are many scores."""
    found = {(group.label, task): score for group in rows for task in tasks if (score := group.score(task))}
    found = {key: score for key, score in found.items() if score.unscored}
    if not found:
        return []
    if len(found) > MOST_NAMED:
        return [f"{sum(score.unscored for score in found.values())} items of {len(found)} scores are unscored."]
    parts = [
        f"{label}, {task}: {score.unscored} of {score.n + score.unscored}" for (label, task), score in found.items()
    ]
    return [f"Unscored items, which are in no score: {'; '.join(parts)}."]


def _name(group: Group) -> str:
    return f"{group.label} ({len(group.rows)} seeds)" if len(group.rows) > 1 else group.label


def _cell(group: Group, task: str, gains: Gains, places: int) -> Cell:
    score, gain = group.score(task), gains.of(group, task)
    if score is None:
        return EMPTY
    printed = published_score(corresponding(group), task)
    return Cell(
        score_text(score, places),
        (estimate_text(gain.estimate, places),) if gain else (),
        gain.verdict if gain else None,
        printed_text(printed, places),
    )


def _records(group: Group, tasks: Sequence[str], gains: Gains, heading: str) -> Iterator[dict[str, Any]]:
    """Yield a line of the CSV file for each score of a row."""
    published = corresponding(group)
    for task in tasks:
        score, gain, words = group.score(task), gains.of(group, task), group.score(f"{task}/words")
        if score is None:
            continue
        yield {
            "part": heading,
            "row": group.label,
            "role": group.role,
            "benchmark": task,
            "seeds": len(group.scored(task)),
            "score": plain_number(score.value),
            "low": plain_number(score.low),
            "high": plain_number(score.high),
            "n": score.n,
            "unscored": score.unscored,
            "words": plain_number(words.value if words else None),
            **estimate_columns(gain.estimate if gain else None, "gain"),
            "gain_p_corrected": plain_number(gain.p_corrected if gain else None),
            "verdict": str(gain.verdict or "") if gain else "",
            "paper": plain_number(published_score(published, task)),
            "paper_row": published.name if published and task in published.scores else "",
        }
