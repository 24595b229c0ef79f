"""report.html: a study as one self-contained page, with the browser of its items beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmdpo.analysis.comparable import comparable_parts
from mmdpo.analysis.figures import Picture
from mmdpo.analysis.gain_caveats import gain_caveats
from mmdpo.analysis.gain_table import gain_notes
from mmdpo.analysis.gains import study_gains
from mmdpo.analysis.html_commands import GROUPS, commands
from mmdpo.analysis.html_examples import best_point, examples, only_base
from mmdpo.analysis.html_sections import sections
from mmdpo.analysis.html_tables import (
    category_table,
    gains_table,
    parts_table,
    result_table,
    shared,
    training_table,
)
from mmdpo.analysis.imported import imported_warnings
from mmdpo.analysis.label_lines import mixed_lines
from mmdpo.analysis.labels import ROLE_NOTES, axis_label, benchmark_label, duration, row_label, value_text
from mmdpo.analysis.page.browser import FOLDER, PAGE, write_browser
from mmdpo.analysis.page.scripts import fill_template, policy, source, trusted, write_if_changed
from mmdpo.analysis.study import POINT_AXES, Row, Study, sort_key
from mmdpo.analysis.table import failures, footnotes, items_text
from mmdpo.analysis.warning_lines import warning_lines
from mmdpo.points.commands import launches

FILES = ("result.json", "config.yaml", "metrics.jsonl", "training.json", "fingerprints.json", "status.json")
TABLES = {"summary.csv": "all points and scores", "results.csv": "all results and gains"}
FOLDERS = {"answers": "*.jsonl", "judgments": "*.jsonl"}
"""Folders of a point whose files the page links: those that a bundle takes along, so that the page stays the same."""
WIDE = 2.5
"""Width of a figure, as a multiple of its height, from which it takes the whole width of the page."""
STYLES = ("page.css", "report.css")
SCRIPTS = ("enlarge.js", "report.js")


def write_html(study: Study, pictures: Iterable[Picture], path: Path) -> None:
    """Write the page, and the browser of items into the folder `report` of the study.

    Args:
        study: The study to show.
        pictures: The pictures to embed, so that the page can be sent as one file.
        path: The file to write.
    """
    style, script = source(*STYLES), source(*SCRIPTS)
    values = context(study, pictures)
    shown = [row for row in (only_base(study), best_point(study)) if row]
    browser = f"{FOLDER}/{PAGE}" if write_browser(study, shown) else ""
    page = fill_template(
        "report.html.j2",
        policy=policy([script], [style]),
        style=trusted(style),
        script=trusted(script),
        browser=browser,
        **values,
    )
    write_if_changed(path, page)


def context(study: Study, pictures: Iterable[Picture]) -> dict[str, Any]:
    """Collect what the template shows."""
    best, base = best_point(study), only_base(study)
    gains, parts = study_gains(study), comparable_parts(study)
    return {
        "study": study,
        "states": _states(study),
        "settings": _settings(study),
        "role_notes": [note for role, note in ROLE_NOTES.items() if study.of_role(role)],
        "interval": f"{study.resampled()}; {items_text(study)}",
        "level": f"{100 * study.confidence:g} %",
        "results": [result_table(study, part, gains) for part in parts if part.study.benchmarks],
        "comparisons": gains.comparisons,
        "gains_table": gains_table(study, gains),
        "sections": sections(study, gains),
        "points": [_point(study, row) for row in study.rows],
        "tables": [(name, text) for name, text in TABLES.items() if (study.folder / name).exists()],
        "failures": failures(study),
        "figures": [_figure(study, one) for one in pictures],
        "parts": [
            (part.heading, shared([parts_table(part.study, name) for name in part.study.benchmarks])) for part in parts
        ],
        "categories": [
            (part.heading, shared([category_table(part.study, name) for name in part.study.benchmarks]))
            for part in parts
        ],
        "best": best and row_label(best, study.varying),
        "examples": [
            (
                benchmark_label(name),
                *([(one, one.address(name, base.point, best.point)) for one in side] for side in found),
            )
            for name in study.benchmarks
            if best and base and any(found := examples(study, best, name))
        ],
        "training": training_table(study),
        "provenance": _provenance(study),
        "commands": commands(study),
        "typed": bool(launches(study.folder)),
        "score_notes": [
            *mixed_lines(study),
            *gain_notes(study, gains),
            *gain_caveats(study, gains),
            *footnotes(study),
            *imported_warnings(study),
            *warning_lines(study),
        ],
    }


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


def _point(study: Study, row: Row) -> dict[str, Any]:
    """Return what the table of points shows of one."""
    return {
        "name": row.point,
        "label": row_label(row, study.varying),
        "state": row.state,
        "steps": "–" if row.steps is None else str(row.steps),
        "time": duration(row.seconds),
        "links": _links(row),
    }


def _links(row: Row) -> list[tuple[str, str]]:
    """Return the relative addresses of a point's files, beside the page."""
    names = [name for name in FILES if os.path.exists(row.folder / name)]
    for folder, pattern in FOLDERS.items():
        names += [f"{folder}/{path.name}" for path in sorted((row.folder / folder).glob(pattern))]
    return [(name, f"{quote(row.point)}/{quote(name)}") for name in names]


def _figure(study: Study, picture: Picture) -> dict[str, str]:
    """Return a picture as data, with its caption and the address of its PDF."""
    content = picture.path.read_bytes()
    data = base64.b64encode(content).decode("ascii")
    width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))  # as the PNG says
    pdf = picture.path.with_suffix(".pdf")
    address = os.path.relpath(pdf, study.folder).replace(os.sep, "/") if pdf.exists() else ""
    shape = "wide-figure" if width > WIDE * height else ""
    source = f"data:image/png;base64,{data}"
    return {"source": source, "caption": picture.caption, "pdf": quote(address), "shape": shape}
