"""Table 3 of the paper: answers beside an unrelated image, with the difference to those without it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from mmdpo.analysis.groups import Group
from mmdpo.analysis.labels import benchmark_label, decimals, estimate_text
from mmdpo.analysis.measured import Measured, estimate_gain, measure
from mmdpo.analysis.paper.methods_table import table_rows
from mmdpo.analysis.paper.numbers import estimate_columns, plain_number, printed_text, score_text
from mmdpo.analysis.paper.published import corresponding, published_score, reasons
from mmdpo.analysis.paper.table import Cell, PaperTable, TableRow
from mmdpo.analysis.study import Study
from mmdpo.evaluation.crossed import Estimate
from mmdpo.evaluation.statistics import Score
from mmdpo.evaluation.task import find_task

SUFFIX, PREFIX = "_noisy", "noisy-"
"""How the miniature names the task with unrelated images, and its items, after those without."""


@dataclass(frozen=True)
class NoisyPair:
    """A task with unrelated images, and the task of the same questions without them."""

    noisy: str
    clean: str


def noisy_pairs(study: Study) -> list[NoisyPair]:
    """Return the tasks of a study that have a row with both scores."""
    pairs = [NoisyPair(name, clean) for name in study.benchmarks if (clean := _clean_task(name)) in study.benchmarks]
    return [pair for pair in pairs if any(_has_both(group, pair) for group in _every(study))]


def _clean_task(name: str) -> str:
    """Return the task of the same questions without an image: the declared one, else the one that the name tells."""
    task = find_task(name)
    return (task.minus if task else "") or (name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else "")


def noisy_table(study: Study, pair: NoisyPair, name: str = "table_3", heading: str = "") -> PaperTable:
    """Make the table of the rows that have both scores.

    Args:
        study: The study, or a part of one whose scores can be compared.
        pair: The two tasks.
        name: The name of the table's files.
        heading: What the rows have in common, if others of the study have it otherwise.
    """
    sections = [[one for one in section if _has_both(one, pair)] for section in table_rows(study)]
    every = [group for section in sections for group in section]
    places = decimals([score for group in every for task in (pair.noisy, pair.clean) if (score := group.score(task))])
    differences = {id(group): difference_to_clean(group, pair, study.confidence) for group in every}
    counts = sorted({one.n for one in differences.values() if one})
    notes = [
        f"±: half of the {study.resampled([pair.noisy, pair.clean])}.",
        f"Difference: with the image minus without it, on the same {' or '.join(map(str, counts))} items, with an "
        "interval over items and seeds that is not corrected for the number of rows.",
        *reasons(every, [pair.noisy]),
    ]
    return PaperTable(
        name,
        f"{benchmark_label(pair.clean)} with an unrelated image" + (f" ({heading})." if heading else "."),
        ["", "without image", "unrelated image", "difference"],
        [[_row(group, pair, differences[id(group)], places) for group in section] for section in sections if section],
        notes,
        [{"part": heading, **_record(group, pair, differences[id(group)])} for group in every],
    )


def _row(group: Group, pair: NoisyPair, difference: Estimate | None, places: int) -> TableRow:
    clean, noisy = (published_score(corresponding(group), task) for task in (pair.clean, pair.noisy))
    minus = "" if clean is None or noisy is None else f"{noisy - clean:+.2f}"
    return TableRow(
        group.label,
        [
            _score_cell(group.score(pair.clean), clean, places),
            _score_cell(group.score(pair.noisy), noisy, places),
            Cell(estimate_text(difference, places) if difference else "–", paper=minus),
        ],
    )


def _score_cell(score: Score | None, printed: float | None, places: int) -> Cell:
    text = score_text(score, places) if score else "–"
    return Cell(text, paper=printed_text(printed, places))


def _record(group: Group, pair: NoisyPair, difference: Estimate | None) -> dict[str, Any]:
    scores = {task: group.score(task) for task in (pair.clean, pair.noisy)}
    return {
        "row": group.label,
        "role": group.role,
        "seeds": len(group.rows),
        **{task: plain_number(score.value if score else None) for task, score in scores.items()},
        **estimate_columns(difference, "difference"),
        "n": difference.n if difference else None,
        **{f"paper_{task}": plain_number(published_score(corresponding(group), task)) for task in scores},
    }


def difference_to_clean(group: Group, pair: NoisyPair, confidence: float) -> Estimate | None:
    """Estimate the score with the image minus that without it, over items and seeds; None without judged items."""
    clean = [measure(row.folder, pair.clean) for row in group.rows]
    noisy = [measure(row.folder, pair.noisy) for row in group.rows]
    known_clean = [one for one in clean if one is not None]
    known_noisy = [_with_ids_of_clean(one) for one in noisy if one is not None]
    if len(known_clean) < len(clean) or len(known_noisy) < len(noisy):
        return _stored_difference(group, pair)
    return estimate_gain(known_clean, known_noisy, confidence, same_seeds=True) or _stored_difference(group, pair)


def _with_ids_of_clean(noisy: Measured) -> Measured:
    """Return columns under the ids of the questions without an image, which the miniature writes without a prefix."""
    return replace(noisy, ids=tuple(name.removeprefix(PREFIX) for name in noisy.ids))


def _stored_difference(group: Group, pair: NoisyPair) -> Estimate | None:
    """Return the difference that a result holds, with its own interval."""
    score = group.score(f"{pair.noisy}/minus_{pair.clean}")
    if score is None:
        return None
    return Estimate(score.value, score.low, score.high, math.nan, score.n, 0, len(group.rows), math.nan, math.nan)


def _has_both(group: Group, pair: NoisyPair) -> bool:
    return all(len(group.scored(task)) == len(group.rows) for task in (pair.noisy, pair.clean))


def _every(study: Study) -> list[Group]:
    return [group for section in table_rows(study) for group in section]
