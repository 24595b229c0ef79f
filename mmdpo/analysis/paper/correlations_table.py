"""Correlations over models: of each two benchmarks, as of MM-Vet and MT-Bench in the paper, and of length and score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mmdpo.analysis.gains import holm
from mmdpo.analysis.groups import Group
from mmdpo.analysis.labels import benchmark_label
from mmdpo.analysis.paper.correlation import Correlation, correlate
from mmdpo.analysis.paper.methods_table import table_rows
from mmdpo.analysis.paper.numbers import p_text, plain_number
from mmdpo.analysis.paper.published import read_published
from mmdpo.analysis.paper.table import EMPTY, Cell, PaperTable, TableRow
from mmdpo.analysis.study import Study

WORDS = "words"


@dataclass(frozen=True)
class Pair:
    """Two scores, and their correlation over the rows that have both."""

    first: str
    second: str
    correlation: Correlation


def benchmark_pairs(study: Study) -> list[Pair]:
    """Return the correlations of each two benchmarks; the pair that the paper reports comes first."""
    printed = {frozenset((one["first"], one["second"])) for one in read_published()["correlations"]}
    pairs = sorted(combinations(study.benchmarks, 2), key=lambda pair: frozenset(pair) not in printed)
    return _correlated(study, pairs)


def length_pairs(study: Study) -> list[Pair]:
    """Return the correlations of each benchmark's score with the mean number of words of its answers."""
    return _correlated(study, [(name, f"{name}/{WORDS}") for name in study.benchmarks])


def correlation_table(study: Study, pairs: Sequence[Pair], name: str = "correlations", heading: str = "") -> PaperTable:
    """Make the table of correlations over the rows of a study.

    Args:
        study: The study, or a part of one whose scores can be compared.
        pairs: Correlations of the study.
        name: The name of the table's files.
        heading: What the rows have in common, if others of the study have it otherwise.
    """
    corrected = holm([pair.correlation.p for pair in pairs])
    notes = [
        f"r: Pearson's correlation over n models or results, seeds averaged; {100 * study.confidence:g} % interval by "
        "Fisher's transformation. p corrected: for the number of rows (Holm).",
        "Results that were trained from one base are not independent of each other, so that the interval is too narrow "
        "for models at large.",
    ]
    rows, records = [], []
    for pair, p in zip(pairs, corrected, strict=True):
        found, printed = pair.correlation, _printed(pair)
        first, second = (_label(key) for key in (pair.first, pair.second))
        paper = "" if printed is None else f"{printed['r']:+.2f}, n = {printed['n']}"
        interval = f"[{found.low:+.2f}, {found.high:+.2f}]"
        cells = [Cell(f"{found.r:+.2f}"), Cell(interval), Cell(p_text(found.p)), Cell(p_text(p)), Cell(str(found.n))]
        rows.append(TableRow(f"{first} and {second}", [*cells, Cell(paper) if paper else EMPTY]))
        if printed:
            notes.append(f"{first} and {second} in the paper: {printed['note']}")
        records.append(
            {
                "part": heading,
                "first": pair.first,
                "second": pair.second,
                "r": plain_number(found.r),
                "low": plain_number(found.low),
                "high": plain_number(found.high),
                "p": plain_number(found.p),
                "p_corrected": plain_number(p),
                "n": found.n,
                "paper_r": printed["r"] if printed else None,
                "paper_n": printed["n"] if printed else None,
            }
        )
    what = (
        "Length of the answers and score" if all(pair.second.endswith(f"/{WORDS}") for pair in pairs) else "Benchmarks"
    )
    return PaperTable(
        name,
        f"{what}: correlations over models" + (f" ({heading})." if heading else "."),
        ["", "r", "interval", "p", "p corrected", "n", "paper"],
        [rows],
        notes,
        records,
    )


def _correlated(study: Study, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
    every = [group for section in table_rows(study) for group in section]
    found = [(first, second, correlate(*_values(every, first, second), study.confidence)) for first, second in pairs]
    return [Pair(first, second, correlation) for first, second, correlation in found if correlation]


def _values(rows: Sequence[Group], first: str, second: str) -> tuple[list[float], list[float]]:
    both = [(a.value, b.value) for group in rows if (a := group.score(first)) and (b := group.score(second))]
    return [a for a, _ in both], [b for _, b in both]


def _printed(pair: Pair) -> dict[str, Any] | None:
    """Return what the paper reports of the same two scores."""
    names = {pair.first, pair.second}
    return next((one for one in read_published()["correlations"] if {one["first"], one["second"]} == names), None)


def _label(key: str) -> str:
    task, _, part = key.partition("/")
    return "words per answer" if part == WORDS else benchmark_label(task)
