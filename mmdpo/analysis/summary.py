"""A study as CSV files: summary.csv with one row per point, and results.csv with one row per result."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.gain_table import gain_of
from mmdpo.analysis.gains import Gain, Gains
from mmdpo.analysis.groups import Group, varying_but_seed
from mmdpo.analysis.label_lines import COMPARED, label_texts
from mmdpo.analysis.score_table import rows_of_table, shown_keys
from mmdpo.analysis.study import POINT_AXES, Row, Study
from mmdpo.evaluation.statistics import Score
from mmdpo.files import atomic_write, spreadsheet_cell

GAIN = ("gain", "gain_low", "gain_high", "gain_p", "gain_p_corrected", "verdict", "seeds")
"""The columns of a main score's gain over the base, behind the name of the score."""


def write_summary(study: Study, gains: Gains, path: Path) -> None:
    """Write one row per point: axes, metrics, gains of its result, labels of its scores.

    Args:
        study: The study.
        gains: The gains of its results.
        path: The file.
    """
    scores = dict.fromkeys(key for row in study.rows for key in row.scores)
    settings = sorted({key for row in study.rows for key in row.settings})
    metrics = [name for key in scores for name in _score_columns(key)]
    gain = [f"{key}_{name}" for key in study.benchmarks for name in GAIN]
    rows = [_point(row, study, gains) for row in study.rows]
    columns = [*("point", "role", "state", *POINT_AXES, *settings), *metrics, *gain, *_label_columns(study)]
    pruned = ("pruned",) if any(row.pruned for row in study.rows) else ()
    _write(path, [*columns, *("steps", "examples", "epochs", "seconds", "error"), *pruned], rows)


def write_results(study: Study, gains: Gains, path: Path) -> None:
    """Write one row per result, whose points differ only in their seed: main scores, gains and labels.

    The column `part` names what differs between scores that cannot be compared.

    Args:
        study: The study.
        gains: The gains of its results.
        path: The file.
    """
    axes = [key for key in POINT_AXES if key != "seed"]
    settings = [key for key in varying_but_seed(study) if key not in POINT_AXES]
    rows = [
        {"part": part.heading, **_result(group, study, gains, [*axes, *settings])}
        for part in comparable_parts(study)
        for group in rows_of_table(part.study, shown_keys(part.study, study))
    ]
    names = [name for key in study.benchmarks for name in (*_score_columns(key), *(f"{key}_{one}" for one in GAIN))]
    columns = ["result", "part", "role", "state", *axes, *settings, "points", *names, *_label_columns(study), "names"]
    _write(path, columns, rows)


def _write(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write a CSV file; an absent value is an empty field.

    Spreadsheets compute what begins like a formula, so such text is preceded by an apostrophe.
    """
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        for cells in [dict(zip(columns, columns, strict=True)), *rows]:
            writer.writerow([spreadsheet_cell(cells.get(name)) for name in columns])


def _point(row: Row, study: Study, gains: Gains) -> dict[str, Any]:
    cells: dict[str, Any] = {"point": row.point, "role": row.role, "state": row.state}
    cells |= {axis: row.axes.get(axis) for axis in POINT_AXES} | row.settings
    for key, score in row.scores.items():
        cells |= _score_cells(key, score)
    for key in study.benchmarks:
        cells |= _gain_cells(key, gains.of_point(row.point, key) if key in row.scores else None)
    counts = {"steps": row.steps, "examples": row.examples, "epochs": row.epochs}
    return (
        cells | _label_cells(row, study) | counts | {"seconds": row.seconds, "error": row.error, "pruned": row.pruned}
    )


def _result(group: Group, study: Study, gains: Gains, keys: Sequence[str]) -> dict[str, Any]:
    states = ", ".join(dict.fromkeys(str(row.state) for row in group.rows))
    cells: dict[str, Any] = {"result": group.label, "role": group.role, "state": states, "points": len(group.rows)}
    cells |= {key: group.value(key) for key in keys} | {"names": " ".join(row.point for row in group.rows)}
    for key in study.benchmarks:
        if score := group.score(key):
            cells |= _score_cells(key, score) | _gain_cells(key, gain_of(gains, group, key))
            cells[f"{key}_seeds"] = len(group.scored(key))
    scored = [row for row in group.rows if row.scores]
    return cells | (_label_cells(scored[0], study) if scored else {})


def _score_columns(key: str) -> tuple[str, ...]:
    return key, f"{key}_low", f"{key}_high", f"{key}_n"


def _score_cells(key: str, score: Score) -> dict[str, Any]:
    values = (_known(score.value), _known(score.low), _known(score.high), score.n)
    return dict(zip(_score_columns(key), values, strict=True))


def _gain_cells(key: str, gain: Gain | None) -> dict[str, Any]:
    if gain is None:
        return {}
    one = gain.estimate
    numbers = [_known(value) for value in (one.value, one.low, one.high, one.p, gain.p_corrected)]
    values = (*numbers, gain.verdict and str(gain.verdict), one.seeds)
    return {f"{key}_{name}": value for name, value in zip(GAIN, values, strict=True)}


def _label_cells(row: Row, study: Study) -> dict[str, str]:
    return {f"{task}_{kind}": text for task in study.benchmarks for kind, text in label_texts(row, task).items()}


def _label_columns(study: Study) -> list[str]:
    """Return the columns of the labels that any point has."""
    found = {name for row in study.rows for name in _label_cells(row, study)}
    names = [f"{task}_{kind}" for task in study.benchmarks for kind in COMPARED]
    return [name for name in names if name in found]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
