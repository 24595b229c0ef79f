"""Examination of a data set: whether its files exist and its rows can be used, before anything runs.

Problems are returned as findings, never raised. `doctor_report.py` prints them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmdpo.config.choices import file_formats
from mmdpo.config.schema import DataConfig, SourceConfig
from mmdpo.errors import UserError
from mmdpo.images import open_image
from mmdpo.leftovers import temporary_prefix
from mmdpo.sources import select, tables
from mmdpo.sources.formats import file_format, prompt_format
from mmdpo.sources.pair_reader import scan_pairs
from mmdpo.sources.prompts import source_of

FILE = "a .jsonl, .json or .parquet file"


@dataclass(frozen=True)
class Location:
    """A file or folder that a setting names.

    Attributes:
        key: The setting.
        content: Kind of content: rows or images.
        path: The setting's value; None if it is not set.
        state: Short description of what was found.
        expected: Description of what is allowed, if it is missing.
        advice: Override to type.
        missing: Whether a run needs it and cannot use it.
    """

    key: str
    content: str
    path: Path | None
    state: str
    expected: str = ""
    advice: str = ""
    missing: bool = False


@dataclass(frozen=True)
class Sample:
    """The first record that would be used: texts by name, and the image with its size in pixels."""

    id: str
    texts: dict[str, str]
    image: str | None = None
    size: tuple[int, int] | None = None


@dataclass
class Finding:
    """Result for one source of prompts, or for the file of pairs.

    Attributes:
        name: The source's name, or `data.name`.
        format: Name of the data format.
        kind: Kind of records: prompts or pairs.
        columns: Fields that the format reads.
        locations: Files and folders.
        wanted: Number of records that the settings ask for; None for all.
        offset: Number of records that are skipped.
        read: Number of rows; None if no row was read.
        kept: Number of rows that can be used.
        found: Number of records that would be used.
        dropped: Number of rows that cannot be used, per reason.
        firsts: Place and detail of the first such row, per reason.
        unused: Columns that are not read.
        sample: The first record.
        problem: Error message of a run with these data.
    """

    name: str
    format: str
    kind: str
    columns: list[str]
    locations: list[Location]
    wanted: int | None = None
    offset: int = 0
    read: int | None = None
    kept: int = 0
    found: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    sample: Sample | None = None
    problem: str | None = None

    @property
    def missing(self) -> list[Location]:
        """Return the locations that a run needs and cannot use."""
        return [location for location in self.locations if location.missing]

    @property
    def good(self) -> bool:
        """Return whether a run could use the data as they are."""
        return not self.missing and self.problem is None


def examine(data: DataConfig) -> Iterator[Finding]:
    """Yield a finding per source of prompts, or one for the file of pairs; none for synthetic prompts."""
    if reads_file(data):
        yield _examine_pairs(data)
        return
    for name, source in data.sources.items():
        yield _examine_source(name, source, data)


def reads_file(data: DataConfig) -> bool:
    """Return whether the data are one file of pairs or answers, `data.path`."""
    return data.format in file_formats()


def _examine_source(name: str, config: SourceConfig, data: DataConfig) -> Finding:
    key = f"data.sources.{name}"
    locations = [
        _rows_location(f"{key}.path", config.path, folders=True),
        _images_location(f"{key}.image_root", config.image_root),
    ]
    columns = sorted(prompt_format(config.format, f"{key}.format").columns)
    finding = Finding(name, config.format, "prompts", columns, locations, wanted=config.count, offset=config.offset)
    if not finding.missing:
        _catch_problem(finding, lambda: _scan_source(finding, config, data))
    return finding


def _scan_source(finding: Finding, config: SourceConfig, data: DataConfig) -> None:
    source = source_of(finding.name, config)
    scanned = select.scan(source, data.seed)
    finding.read, finding.kept, finding.found = scanned.read, scanned.kept, len(scanned.prompts)
    finding.dropped, finding.firsts = dict(scanned.bad_rows.reasons), scanned.bad_rows.firsts
    if scanned.prompts:
        first = scanned.prompts[0]
        image, size = _image(source.image_root, next(iter(first.images), None))
        finding.sample = Sample(f"{finding.name}/{first.id}", {"question": first.question}, image, size)
    select.check_scanned(source, scanned, data.on_bad_row)


def _examine_pairs(data: DataConfig) -> Finding:
    locations = [
        _rows_location("data.path", data.path, folders=False),
        _images_location("data.image_root", data.image_root),
    ]
    name = str(data.format)
    finding = Finding(data.name, name, "pairs", sorted(file_format(name).columns), locations)
    if not finding.missing:
        _catch_problem(finding, lambda: _scan_pairs(finding, data))
    return finding


def _scan_pairs(finding: Finding, data: DataConfig) -> None:
    root = Path(data.image_root) if data.image_root else None
    with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as folder:
        read, bad_rows = scan_pairs(Path(data.path or ""), root, Path(folder), finding.format, data.seed)
        finding.read, finding.kept, finding.found = read.read, len(read.pairs), len(read.pairs)
        finding.dropped, finding.firsts = read.dropped, bad_rows.firsts
        finding.unused = sorted(read.unused)
        if read.pairs:
            first = read.pairs[0]
            names = ("question", "chosen", "rejected", "answer")
            texts = {name: getattr(first, name) for name in names if hasattr(first, name)}
            image, size = _image(read.image_root, next(iter(first.images), None))
            embedded = read.image_root == Path(folder)
            finding.sample = Sample(first.id, texts, "in the file itself" if embedded and image else image, size)
    bad_rows.check(read.read, len(read.pairs), data.on_bad_row)


def _catch_problem(finding: Finding, scan: Callable[[], None]) -> None:
    try:
        scan()
    except (UserError, OSError) as error:
        finding.problem = str(error)


def _rows_location(key: str, value: str | None, folders: bool) -> Location:
    path = None if value is None else Path(value)
    expected = f"{FILE}, or a folder of them" if folders else FILE
    count, fault = 0, "not set"
    if path is not None:
        count, fault = _count_files(path, key, folders)
    if fault:
        return Location(key, "rows", path, fault, expected, f"{key}=FILE", missing=True)
    folder = path is not None and path.is_dir()
    files = f"{count:,} file" + ("" if count == 1 else "s")
    return Location(key, "rows", path, f"found, {'a folder of ' if folder else ''}{files}")


def _count_files(path: Path, key: str, folders: bool) -> tuple[int, str]:
    """Return the number of readable files, and a short description of what is wrong, if anything."""
    try:
        if not path.exists():
            return 0, "missing"
        if path.is_dir() and not folders:
            return 0, "this is a folder"
        return len(tables.files(path, key)), ""
    except UserError as error:
        return 0, str(error).removeprefix(f"{key}={path}: ").partition(";")[0]
    except OSError as error:
        return 0, f"not readable ({error.strerror})"


def _images_location(key: str, value: str | None) -> Location:
    advice = f"{key}=DIR"
    if value is None:
        return Location(key, "images", None, "no folder set", advice=advice)
    path = Path(value)
    try:
        fault = "missing" if not path.exists() else "" if path.is_dir() else "not a folder"
        fault = fault or ("" if next(path.iterdir(), None) else "an empty folder")
    except OSError as error:
        fault = f"not readable ({error.strerror})"
    if fault:
        return Location(key, "images", path, fault, "a folder of images", advice, missing=True)
    return Location(key, "images", path, "found")


def _image(root: Path | None, name: str | None) -> tuple[str | None, tuple[int, int] | None]:
    if root is None or name is None:
        return None, None
    return str(root / name), open_image(root / name).size
