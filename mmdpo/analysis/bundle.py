"""A study as one file that opens on a machine without its model, benchmarks and network.

It holds what report, tables, comparisons and the page read, and nothing that they write: configs, states, answers,
judgments, results, metrics, fingerprints, commands, the samples behind the items with their images, and on request the
adapters. Points that are links are held as their content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mmdpo.analysis.bundle_file import (
    MANIFEST,
    OF_STUDY,
    Entry,
    Manifest,
    belongs_in_bundle,
    read_manifest,
    unpack,
    write_archive,
)
from mmdpo.analysis.find import OUTPUTS
from mmdpo.analysis.items import answered_tasks
from mmdpo.analysis.page.browser import FOLDER as PAGE
from mmdpo.analysis.page.stored_samples import StoredSamples
from mmdpo.analysis.study import Row, read_study
from mmdpo.errors import UserError
from mmdpo.points.results import ADAPTER
from mmdpo.points.status import State

REWRITTEN = ("summary.csv", "results.csv", MANIFEST)
"""Files of a study that report and open write."""


def write_bundle(folder: Path, file: Path, adapters: bool = False) -> Manifest:
    """Write a study to a file.

    Args:
        folder: The study's folder.
        file: The file to write; an existing one is not replaced.
        adapters: Whether to take the adapters along.

    Returns:
        The manifest; `left_out` says what of the study is not in the file.

    Raises:
        UserError: The file exists, or there is no point to write.
    """
    if file.exists() or file.is_symlink():
        raise UserError(f"{file} exists and is not overwritten: type another name, or delete it")
    study = read_study(folder)
    gone = [row for row in study.rows if not row.folder.is_dir()]
    rows = [row for row in study.rows if row.folder.is_dir()]
    if not rows:
        raise UserError(f"{folder} holds no point that can be read")
    left_out = [f"{row.point}: it is a link to a point that is gone" for row in gone]
    left_out += _unfinished(rows, adapters)
    left_out += _keep_samples(folder, rows)
    entries = [*_of_study(folder), *(entry for row in rows for entry in _of_point(row, adapters))]
    manifest = Manifest(study.name, len(rows), adapters, tuple(left_out))
    return write_archive(file, manifest, entries)


def open_bundle(file: Path, target: Path | None = None) -> tuple[Path, Manifest]:
    """Verify a bundle and unpack it; an existing target is not overwritten.

    Args:
        file: The bundle.
        target: The study's folder; by default its name below `outputs`.

    Returns:
        The study's folder, and the manifest.
    """
    target = target or OUTPUTS / read_manifest(file).study
    return target, unpack(file, target)


def _unfinished(rows: list[Row], adapters: bool) -> list[str]:
    """Say what a bundle cannot hold of points that are not finished."""
    lines = [f"{row.point}: it is unreadable here ({row.error})" for row in rows if row.state == State.unreadable]
    if running := [row.point for row in rows if row.state == State.running]:
        lines.append(f"{len(running)} points still run, such as {running[0]}: they are held as they are now")
    if not adapters and (trained := [row.point for row in rows if row.state == State.trained]):
        lines.append(f"{len(trained)} points are trained and not measured, such as {trained[0]}: --adapters holds them")
    return lines


def _of_study(folder: Path) -> Iterator[Entry]:
    """Yield the files of a study that belong to no point."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in REWRITTEN and belongs_in_bundle(path.name):
            yield Entry(path.name, path)
    for name in OF_STUDY:
        yield from _below(folder / name, name)


def _of_point(row: Row, adapters: bool) -> Iterator[Entry]:
    """Yield the files of a point; the state of one whose process is gone is written as it is shown."""
    for entry in _below(row.folder, row.point):
        inside = entry.name.removeprefix(f"{row.point}/")
        if inside.startswith(f"{ADAPTER}/") and not adapters:
            continue
        if inside == "status.json" and row.state == State.interrupted:
            text = json.dumps(row.status | {"state": State.interrupted.value}, indent=1, ensure_ascii=False)
            entry = Entry(entry.name, f"{text}\n".encode())
        yield entry


def _below(folder: Path, name: str) -> Iterator[Entry]:
    """Yield the files below a folder that belong in a bundle; of links, the content."""
    for path in sorted(folder.rglob("*")):
        inside = f"{name}/{path.relative_to(folder).as_posix()}"
        if belongs_in_bundle(inside) and path.is_file():
            yield Entry(inside, path)


def _keep_samples(folder: Path, rows: list[Row]) -> list[str]:
    """Store the samples behind the rows' answers where the page reads them; say which are not to be had."""
    samples = StoredSamples(folder / PAGE)
    try:
        for row in rows:
            for name in answered_tasks(row.folder):
                samples.of(row, name)
    except OSError as error:  # a folder that cannot be written
        return [f"images and references: {error.filename} cannot be written ({error.strerror})"]
    return [
        f"images and references of {task}: the benchmark's files are not here, or have changed since the answers"
        for task in sorted(samples.missing)
    ]
