"""The browser of single items: report/items.html, with data files and images beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdpo.analysis.items import answered_tasks
from mmdpo.analysis.labels import row_label
from mmdpo.analysis.page.item_data import DATA, write_task
from mmdpo.analysis.page.scripts import (
    fill_template,
    policy,
    source,
    to_printable,
    to_script,
    trusted,
    write_if_changed,
)
from mmdpo.analysis.page.stored_samples import StoredSamples
from mmdpo.analysis.study import Row, Study
from mmdpo.evaluation.task import in_order
from mmdpo.files import file_fingerprint, fingerprint, read_json, write_json
from mmdpo.points.status import State

FOLDER = "report"
"""The folder beside report.html."""
PAGE = "items.html"
MADE = ".made.json"
"""The file in that folder that names what its files were made of."""
SCRIPTS = ("enlarge.js", "items_data.js", "items_list.js", "items_view.js")
STYLES = ("page.css", "items.css")


def write_browser(study: Study, default: Sequence[Row] = ()) -> bool:
    """Write the browser; nothing is read or written again while the study's answers and judgments are the same.

    Args:
        study: The study.
        default: The points that are shown at first.

    Returns:
        Whether the study has any item to show.
    """
    rows = [row for row in study.rows if answered_tasks(row.folder)]
    folder = study.folder / FOLDER
    if not rows:
        return False
    key = _key(study, rows, default)
    if _is_made(folder, key):
        return True
    samples, tasks, files = StoredSamples(folder), [], set[str]()
    for number, name in enumerate(_tasks(rows)):
        about, written = write_task(name, number, rows, samples)
        tasks.append(about)
        files |= written
    config = {
        "study": study.name,
        "points": [{"name": row.point, "label": _label(study, row)} for row in rows],
        "tasks": tasks,
        "default": [row.point for row in default if row in rows],
    }
    scripts, style = source(*SCRIPTS), source(*STYLES)
    page = fill_template(
        "items.html.j2",
        policy=policy([scripts], [style], data_files=True),
        style=trusted(style),
        script=trusted(scripts),
        config=trusted(to_script(to_printable(config))),
        study=study.name,
    )
    write_if_changed(folder / PAGE, page)
    for path in (folder / DATA).iterdir():
        if path.name not in files and path.suffix == ".js":
            path.unlink(missing_ok=True)
    samples.remove_unused()
    write_json(folder / MADE, {"key": key, "again": not samples.is_complete})
    return True


def _label(study: Study, row: Row) -> str:
    label = row_label(row, study.varying)
    return label if row.state == State.done else f"{label} ({row.state})"


def _tasks(rows: Sequence[Row]) -> list[str]:
    """Return the names of the answer files of all points, in the order that their tasks declare."""
    names = dict.fromkeys(name for row in rows for name in answered_tasks(row.folder))
    order = in_order(list(dict.fromkeys(name.partition(".")[0] for name in names)))
    return sorted(names, key=lambda name: (order.index(name.partition(".")[0]), name))


def _key(study: Study, rows: Sequence[Row], default: Sequence[Row]) -> str:
    """Fingerprint the files that the browser is made of, by their size and time, and the code that makes it."""
    points = [[row.point, _label(study, row), _states(row.folder)] for row in rows]
    package = Path(__file__).parent
    code = [file_fingerprint(path) for path in sorted(package.iterdir()) if path.is_file()]
    return fingerprint([study.name, points, [row.point for row in default], code])


def _states(folder: Path) -> list[Any]:
    found = []
    for name in ("answers", "judgments"):
        for path in sorted((folder / name).glob("*.json*")):
            status = os.stat(path)
            found.append([f"{name}/{path.name}", status.st_size, status.st_mtime_ns])
    return found


def _is_made(folder: Path, key: str) -> bool:
    try:
        made = read_json(folder / MADE)
        return made["key"] == key and not made["again"] and (folder / PAGE).exists() and (folder / DATA).is_dir()
    except (OSError, ValueError, KeyError, TypeError):
        return False
