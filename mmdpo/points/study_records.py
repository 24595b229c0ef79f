"""Records of all points of a study, those of earlier versions among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmdpo.points.contents import remembered
from mmdpo.points.previous_version import is_previous, previous_record
from mmdpo.points.records import FILE, PointRecord, point_folders, read_record, write_values


def study_records(study: Path) -> tuple[PointRecord, ...]:
    """Return the records of all points of a study, the oldest first.

    Finished points of earlier versions, which wrote no record, are among them.
    """
    return remembered(("records", study), lambda: tuple(sorted(_read(study), key=lambda one: one.written)))


def _read(study: Path) -> Iterator[PointRecord]:
    for folder in point_folders(study):
        if record := read_record(folder):
            yield record
        elif is_previous(folder):
            yield previous_record(folder)


def adopt_previous(study: Path) -> None:
    """Write the records of a study's finished points of earlier versions, which have none."""
    for record in study_records(study):
        if record.identity and not (record.folder / FILE).exists():
            write_values(record.folder, record.identity, {}, record.contents)
