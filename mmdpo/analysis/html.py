"""report.html: a study as one self-contained page."""

from __future__ import annotations

import base64
import math
import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmdpo.analysis.figures import Picture
from mmdpo.analysis.imported import imported_warnings
from mmdpo.analysis.items import read_items
from mmdpo.analysis.label_lines import is_mixed, mixed_lines
from mmdpo.analysis.labels import (
    ROLE_NOTES,
    axis_label,
    benchmark_label,
    decimals,
    duration,
    metric_label,
    row_label,
    sign,
    value_text,
)
from mmdpo.analysis.study import POINT_AXES, Row, Study, sort_key
from mmdpo.analysis.table import failures, footnotes, items_text, with_bounds
from mmdpo.analysis.warning_lines import warning_lines
from mmdpo.console import printable
from mmdpo.evaluation.statistics import Score
from mmdpo.files import atomic_write
from mmdpo.points.commands import launches
from mmdpo.points.identity import Role

EXAMPLES = 3
"""The number of examples of the largest gains, and of the largest losses."""
GROUPS = ("model", "data", "judge", "bench", "train")
FILES = ("result.json", "config.yaml", "metrics.jsonl", "status.json")


@dataclass(frozen=True)
class Example:
    """One item answered by the base and by a trained point."""

    id: str
    category: str
    question: str
    base_answer: str
    base_score: float
    answer: str
    score: float

    @property
    def gain(self) -> float:
        """The trained point's score minus the base's."""
        return self.score - self.base_score


@dataclass(frozen=True)
class Cells:
    """A table of the page: headings, and rows of a name and its cells."""

    title: str
    headings: list[str]
    rows: list[tuple[str, list[str]]]


def write_html(study: Study, pictures: Iterable[Picture], path: Path) -> None:
    """Write the page.

    Args:
        study: The study to show.
        pictures: The pictures to embed, so that the page can be sent as one file.
        path: The file to write.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("mmdpo.analysis", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_printable
    )
    page = environment.get_template("report.html.j2").render(context(study, pictures))
    with atomic_write(path) as aside:
        aside.write_text(page, encoding="utf-8")


def context(study: Study, pictures: Iterable[Picture]) -> dict[str, Any]:
    """Collect what the template shows."""
    best = best_point(study)
    return {
        "study": study,
        "states": _states(study),
        "settings": _settings(study),
        "role_notes": [note for role, note in ROLE_NOTES.items() if study.of_role(role)],
        "interval": f"{study.resampled()}; {items_text(study)}",
        "score_table": score_table(study),
        "links": {row.point: _links(row) for row in study.rows},
        "rows": study.rows,
        "failures": failures(study),
        "figures": [(_embedded(one.path), one.caption) for one in pictures],
        "parts": [cells for name in study.benchmarks if (cells := parts_table(study, name)).headings],
        "categories": [cells for name in study.benchmarks if (cells := category_table(study, name)).headings],
        "best": best and row_label(best, study.varying),
        "examples": [
            (benchmark_label(name), *found)
            for name in study.benchmarks
            if best and any(found := examples(study, best, name))
        ],
        "training": training_table(study),
        "provenance": _provenance(study),
        "commands": commands(study),
        "typed": bool(launches(study.folder)),
        "score_notes": [
            *mixed_lines(study),
            *footnotes(study),
            *imported_warnings(study),
            *warning_lines(study),
        ],
    }


def score_table(study: Study) -> Cells:
    """Make the table of all scores with their intervals; one row per point, in the study's order."""
    places = {name: decimals(_column_scores(study, name)) for name in study.benchmarks}
    headings = [*map(benchmark_label, study.benchmarks), "state", "steps", "time"]
    rows = []
    for row in study.rows:
        scores = [_cell(row.scores.get(name), places[name]) for name in study.benchmarks]
        steps = "–" if row.steps is None else str(row.steps)
        rows.append((row_label(row, study.varying), [*scores, row.state, steps, duration(row.seconds)]))
    return Cells("Scores", headings, rows)


def parts_table(study: Study, benchmark: str) -> Cells:
    """Make the table of the parts of a benchmark's score."""
    return _sub_table(study, benchmark, lambda rest: "/" not in rest)


def category_table(study: Study, benchmark: str) -> Cells:
    """Make the table of a benchmark's score in each of the groups that its task shows apart."""
    return _sub_table(study, benchmark, lambda rest: "/" in rest)


def training_table(study: Study) -> Cells:
    """Make the table of data and training counts, as the points' results give them."""
    trained = [row for row in study.trained if isinstance(row.result.get("training"), dict)]
    keys = dict.fromkeys(
        key for row in trained for key, value in row.result["training"].items() if isinstance(value, int | float | str)
    )
    rows = [
        (row_label(row, study.varying), [_plain(row.result["training"].get(key)) for key in keys]) for row in trained
    ]
    return Cells("Training", list(keys), rows)


def best_point(study: Study) -> Row | None:
    """Return the finished trained point with the best score on the first benchmark; None if scores are mixed."""
    if not (names := study.benchmarks) or is_mixed(study, names[0]):
        return None
    done = [row for row in study.trained if names[0] in row.scores]
    return max(done, key=lambda row: sign(names[0]) * row.scores[names[0]].value, default=None)


def examples(study: Study, point: Row, benchmark: str) -> tuple[list[Example], list[Example]]:
    """Return the items of the point's largest gains over the base, and of its largest losses.

    Args:
        study: The study, with one base point.
        point: The trained point.
        benchmark: The benchmark whose items are compared.
    """
    bases = [row for row in study.of_role(Role.base) if row.scores]
    if len(bases) != 1:
        return [], []
    before = read_items(bases[0].folder).get(benchmark, {})
    after = read_items(point.folder).get(benchmark, {})
    found = [
        Example(
            key,
            str(item.get("category") or ""),
            str(item.get("question") or ""),
            str(before[key].get("answer") or ""),
            float(before[key]["score"]),
            str(item.get("answer") or ""),
            float(item["score"]),
        )
        for key, item in after.items()
        if key in before and _is_number(item.get("score")) and _is_number(before[key].get("score"))
    ]
    better = sign(benchmark)
    found.sort(key=lambda example: (-better * example.gain, example.id))
    gains = [example for example in found[:EXAMPLES] if better * example.gain > 0]
    losses = [example for example in found[: -EXAMPLES - 1 : -1] if better * example.gain < 0]
    return gains, losses


def commands(study: Study) -> list[str]:
    """Return the commands that run the study again: those that were typed, else commands made of the points' settings.

    For a study of an earlier version, which kept no commands, it is a single one if its points are all combinations of
    axes.
    """
    return launches(study.folder) or _made_up(study)


def _made_up(study: Study) -> list[str]:
    rows = [row for row in study.trained if row.config]
    if not rows:
        return []
    keys = [key for key in study.varying if key in POINT_AXES]
    values = {key: sorted({row.axes.get(key) for row in rows}, key=sort_key) for key in keys}
    whole = {tuple(row.axes.get(key) for key in keys) for row in rows} == set(product(*values.values()))
    fixed = [
        key
        for key in POINT_AXES
        if key not in keys and rows[0].axes.get(key) is not None and (key == "method" or whole)
    ]
    groups = [
        f"{group}={name}" for group in GROUPS if (name := _common([row.group(group).get("name") for row in rows]))
    ]
    sources = [
        f"data.{key}={value}"
        for key in ("path", "image_root")
        if (value := _common([row.group("data").get(key) for row in rows]))
    ]
    common = [
        f"study={study.name}",
        *(f"{key}={_typed(rows[0].axes[key])}" for key in fixed),
        *groups,
        *sources,
    ]
    if whole and not any(row.settings for row in rows):
        swept = [f"{key}={','.join(_typed(value) for value in values[key])}" for key in keys]
        return [_line(["-m", *swept, *common] if swept else common)]
    return [
        _line(
            [
                *(f"{key}={_typed(row.axes[key])}" for key in keys if row.axes.get(key) is not None),
                *(f"{key.removesuffix('.name')}={_typed(value)}" for key, value in row.settings.items()),
                *common,
            ]
        )
        for row in rows
    ]


def _line(overrides: list[str]) -> str:
    return " ".join(["python", "launch.py", *map(shlex.quote, overrides)])


def _typed(value: Any) -> str:
    """Write a value as Hydra reads it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _common(values: list[Any]) -> str:
    return str(values[0]) if values[0] is not None and len(set(map(str, values))) == 1 else ""


def _sub_table(study: Study, benchmark: str, wanted: Callable[[str], bool]) -> Cells:
    prefix = f"{benchmark}/"
    keys = [
        key
        for key in dict.fromkeys(key for row in study.rows for key in row.scores)
        if key.startswith(prefix) and wanted(key.removeprefix(prefix))
    ]
    places = {key: decimals(_column_scores(study, key)) for key in keys}
    headings = [metric_label(key) for key in keys]
    rows = [
        (row_label(row, study.varying), [_cell(row.scores.get(key), places[key]) for key in keys])
        for row in study.rows
        if row.scores
    ]
    return Cells(benchmark_label(benchmark), headings, rows)


def _column_scores(study: Study, key: str) -> list[Score]:
    return [row.scores[key] for row in study.rows if key in row.scores]


def _cell(score: Score | None, places: int) -> str:
    return "–" if score is None else with_bounds(score, places)


def _plain(value: Any) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _states(study: Study) -> str:
    counts = {state: sum(row.state == state for row in study.rows) for state in {row.state for row in study.rows}}
    return ", ".join(f"{counts[state]} {state}" for state in sorted(counts))


def _settings(study: Study) -> list[tuple[str, str]]:
    """Return what all points have in common, and the values of what varies."""
    lines = []
    rows = [row for row in study.trained if row.config] or [row for row in study.rows if row.config]
    for group in GROUPS:
        names = sorted({str(row.group(group).get("name", "–")) for row in rows})
        lines.append((group, ", ".join(names)))
    for key in dict.fromkeys((*POINT_AXES, *study.varying)):
        values = sorted({row.value(key) for row in study.trained} - {None}, key=sort_key)
        if values:
            lines.append((axis_label(key).removesuffix(" (%)"), ", ".join(value_text(key, value) for value in values)))
    return lines


def _provenance(study: Study) -> list[tuple[str, str]]:
    """Return commit, judge, fingerprints and versions, with every value that the points have."""
    found: dict[str, dict[str, None]] = {}
    for row in study.rows:
        flat = {"git commit": row.result.get("git"), "judge": row.result.get("judge")}
        for group in ("fingerprints", "versions"):
            entries = row.result.get(group)
            flat |= {f"{group}: {key}": value for key, value in (entries if isinstance(entries, dict) else {}).items()}
        for key, value in flat.items():
            if value:
                found.setdefault(key, {})[str(value)] = None
    return [(key, ", ".join(values)) for key, values in found.items()]


def _links(row: Row) -> list[tuple[str, str]]:
    """Return the relative addresses of a point's files, beside the page."""
    names = [name for name in FILES if os.path.exists(row.folder / name)]
    for folder in ("answers", "judgments"):
        names += [f"{folder}/{path.name}" for path in sorted((row.folder / folder).glob("*.jsonl"))]
    return [(name, f"{quote(row.point)}/{quote(name)}") for name in names]


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _printable(value: Any) -> Any:
    """Make a value of the page printable; what a macro made is so already."""
    return printable(value) if type(value) is str else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
