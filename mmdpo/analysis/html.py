"""report.html: a study as one self-contained page."""

from __future__ import annotations

import base64
import math
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmdpo.analysis.figures import caption
from mmdpo.analysis.labels import (
    ROLE_NOTES,
    axis_label,
    benchmark_label,
    decimals,
    duration,
    row_label,
    value_text,
)
from mmdpo.analysis.points import BASE, POINT_AXES, Row, Score, Study, read_answers, sort_key
from mmdpo.analysis.table import failures, items_text, with_bounds
from mmdpo.files import atomic_write

EXAMPLES = 3  # of the largest gains, and of the largest losses
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


def write_report(study: Study, figures: Iterable[Path], path: Path) -> None:
    """Write the page; pictures are embedded, so that it can be sent as one file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("mmdpo.analysis", "")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.get_template("report.html.j2").render(context(study, figures))
    with atomic_write(path) as aside:
        aside.write_text(page, encoding="utf-8")


def context(study: Study, figures: Iterable[Path]) -> dict[str, Any]:
    """What the template shows."""
    best = best_point(study)
    return {
        "study": study,
        "states": _states(study),
        "settings": _settings(study),
        "role_notes": [note for role, note in ROLE_NOTES.items() if study.of_role(role)],
        "interval": f"{100 * study.confidence:g} % interval over items; {items_text(study)}",
        "score_table": score_table(study),
        "links": {row.point: _links(row) for row in study.rows},
        "rows": study.rows,
        "failures": failures(study),
        "figures": [(_embedded(figure), caption(figure.stem)) for figure in figures],
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
    }


def score_table(study: Study) -> Cells:
    """All scores with their intervals; a row a point, in the study's order."""
    places = {name: decimals(_column_scores(study, name)) for name in study.benchmarks}
    headings = [*map(benchmark_label, study.benchmarks), "state", "steps", "time"]
    rows = []
    for row in study.rows:
        scores = [_cell(row.scores.get(name), places[name]) for name in study.benchmarks]
        steps = "–" if row.steps is None else str(row.steps)
        rows.append((row_label(row, study.varying), [*scores, row.state, steps, duration(row.seconds)]))
    return Cells("Scores", headings, rows)


def parts_table(study: Study, benchmark: str) -> Cells:
    """What a benchmark's score is made of."""
    return _sub_table(study, benchmark, lambda rest: "/" not in rest)


def category_table(study: Study, benchmark: str) -> Cells:
    """A benchmark's score in each of its categories, and near and far from the training questions."""
    return _sub_table(study, benchmark, lambda rest: rest.startswith(("category/", "distance/")))


def training_table(study: Study) -> Cells:
    """Counts of the data and of the training, as the points' results give them."""
    trained = [row for row in study.trained if isinstance(row.result.get("training"), dict)]
    keys = dict.fromkeys(
        key for row in trained for key, value in row.result["training"].items() if isinstance(value, int | float | str)
    )
    rows = [
        (row_label(row, study.varying), [_plain(row.result["training"].get(key)) for key in keys]) for row in trained
    ]
    return Cells("Training", list(keys), rows)


def best_point(study: Study) -> Row | None:
    """The finished trained point with the highest score on the first benchmark."""
    done = [row for row in study.trained if study.benchmarks and study.benchmarks[0] in row.scores]
    return max(done, key=lambda row: row.scores[study.benchmarks[0]].value, default=None)


def examples(study: Study, point: Row, benchmark: str) -> tuple[list[Example], list[Example]]:
    """The items of the point's largest gains over the base, and of its largest losses."""
    bases = [row for row in study.of_role(BASE) if row.scores]
    if len(bases) != 1:
        return [], []
    before = read_answers(bases[0].folder).get(benchmark, {})
    after = read_answers(point.folder).get(benchmark, {})
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
    found.sort(key=lambda example: (-example.gain, example.id))
    gains = [example for example in found[:EXAMPLES] if example.gain > 0]
    losses = [example for example in found[: -EXAMPLES - 1 : -1] if example.gain < 0]
    return gains, losses


def commands(study: Study) -> list[str]:
    """How to run the study again: one line where its points are all combinations of their axes."""
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
    """A value as Hydra reads it."""
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
    headings = [key.rsplit("/", 1)[-1].replace("_", " ") for key in keys]
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
    """What all points have in common, and the values of what varies."""
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
    """Commit, judge, fingerprints and versions, with every value that the points have."""
    found: dict[str, dict[str, None]] = {}
    for row in study.rows:
        flat = {"git commit": row.result.get("git"), "rated by": row.result.get("judge")}
        for group in ("fingerprints", "versions"):
            entries = row.result.get(group)
            flat |= {f"{group}: {key}": value for key, value in (entries if isinstance(entries, dict) else {}).items()}
        for key, value in flat.items():
            if value:
                found.setdefault(key, {})[str(value)] = None
    return [(key, ", ".join(values)) for key, values in found.items()]


def _links(row: Row) -> list[tuple[str, str]]:
    """Relative addresses of a point's files, beside the page."""
    names = [name for name in FILES if (row.folder / name).exists()]
    names += [f"answers/{path.name}" for path in sorted((row.folder / "answers").glob("*.jsonl"))]
    return [(name, f"{quote(row.point)}/{quote(name)}") for name in names]


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
