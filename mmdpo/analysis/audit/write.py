"""The files of an audit, audit/audit.json, audit.md and pictures, and its tables on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.audit.annotations import audit_annotations, read_rated
from mmdpo.analysis.audit.judgments import audit_study, judged_benchmarks
from mmdpo.analysis.audit.tables import Audit, AuditTable
from mmdpo.analysis.study import Study
from mmdpo.console import markup_safe, print_wrapped
from mmdpo.files import Unreadable, atomic_write, file_fingerprint, fingerprint, read_json, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

FOLDER, DATA, PAGE = "audit", "audit.json", "audit.md"
MOST_BYTES = 20_000_000
"""The size of a study's judgments up to which each report has an audit: it takes about a second per 5 MB."""
MADE_OF = ".made_of.json"
"""The file that names what an audit was made of, so that an unchanged one is not made again."""


def write_annotations_audit(folder: Path, other: Path | None = None, out: Path | None = None) -> tuple[Audit, Path]:
    """Audit a folder of annotations and write the files.

    Args:
        folder: The folder that stage=annotate has made.
        other: A folder with the ratings of the same completions by a second judge.
        out: The folder of the files; None for `audit` in the folder.

    Returns:
        The audit, and the folder of its files.
    """
    from mmdpo.analysis.audit.figures import annotation_figures

    audit = audit_annotations(folder, other)
    second = None if other is None else read_rated(other)
    place = out or folder / FOLDER
    _write(audit, place, lambda: annotation_figures(read_rated(folder), second))
    return audit, place


def write_study_audit(study: Study, out: Path | None = None) -> tuple[Audit, Path]:
    """Audit the judgments of a study and write the files.

    Args:
        study: The study.
        out: The folder of the files; None for `audit` in the study.

    Returns:
        The audit, and the folder of its files.
    """
    from mmdpo.analysis.audit.figures import study_figures

    place = out or study.folder / FOLDER
    audit = audit_study(study)
    _write(audit, place, lambda: study_figures(judged_benchmarks(study)))
    write_json(place / MADE_OF, {"key": _key(study)})
    return audit, place


def refresh_study_audit(study: Study) -> str:
    """Write the audit of a study without pictures, unless it is there already.

    Returns:
        A line that says where it is, or which command makes it for a study that is too large to wait for; empty
        without scores.
    """
    place, key = study.folder / FOLDER, _key(study)
    if not study.benchmarks:
        return ""
    if not _is_made_of(place, key):
        if sum(path.stat().st_size for path in _judgments(study)) > MOST_BYTES:
            return f"audit of the judges: type python -m mmdpo audit {study.folder}"
        for picture in (*place.glob("*.png"), *place.glob("*.pdf")):  # of earlier judgments
            picture.unlink()
        _write(audit_study(study), place)
        write_json(place / MADE_OF, {"key": key})
    return f"audit of the judges: {place / PAGE}"


def audit_frames(audit: Audit) -> dict[str, Any]:
    """Return the tables of an audit as pandas DataFrames by name; an estimate has columns for its interval."""
    import pandas as pd

    return {table.name: pd.DataFrame(table.records()) for table in audit.tables}


def print_audit(audit: Audit, console: Console) -> None:
    """Print the findings, the tables and the further lines of an audit."""
    console.print(f"[bold]{markup_safe(f'Audit of {audit.subject}')}[/]")
    for table in audit.tables:
        if table.printed:
            _print_table(table, console)
    for line in (*audit.finding_lines(), *audit.lines):
        print_wrapped(console, line)


def _print_table(table: AuditTable, console: Console) -> None:
    from rich import box
    from rich.table import Table

    shown = Table(
        title=markup_safe(table.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for number, column in enumerate(table.columns):
        shown.add_column(markup_safe(column), justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*(markup_safe(table.cell(row, column, narrow=True)) for column in table.columns))
    console.print(shown)
    if table.note:
        print_wrapped(console, table.note, indent=0, style="dim")


def _write(audit: Audit, place: Path, draw: Callable[[], Mapping[str, Figure]] | None = None) -> None:
    from mmdpo.analysis.figures.style import applied, save_figure

    place.mkdir(parents=True, exist_ok=True)
    write_json(place / DATA, audit.json())
    pictures: dict[str, Path] = {}
    if draw is not None:
        with applied():
            pictures = {name: save_figure(figure, place / f"{name}.png") for name, figure in draw().items()}
    page = audit.markdown() + "".join(f"\n![{name}]({path.name})\n" for name, path in pictures.items())
    with atomic_write(place / PAGE) as aside:
        aside.write_text(page, encoding="utf-8")


def _key(study: Study) -> str:
    """Fingerprint what the audit of a study depends on: its judgments, its labels and the code."""
    from mmdpo import analysis, evaluation

    folders = [*map(Path, [*analysis.__path__, *evaluation.__path__])]
    code = [file_fingerprint(file) for folder in folders for file in sorted(folder.rglob("*.py"))]
    judgments = [
        [path.parent.parent.name, path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in _judgments(study)
    ]
    return fingerprint([code, judgments, [[row.point, row.axes, row.result.get("labels")] for row in study.rows]])


def _judgments(study: Study) -> list[Path]:
    return [path for row in study.rows for path in sorted((row.folder / "judgments").glob("*.jsonl"))]


def _is_made_of(place: Path, key: str) -> bool:
    try:
        return bool(read_json(place / MADE_OF)["key"] == key) and (place / PAGE).is_file()
    except (OSError, Unreadable, ValueError, KeyError, TypeError):
        return False
