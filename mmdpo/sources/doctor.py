"""Examination of a data set: whether its files exist and its rows can be used, before anything runs.

Problems are returned as findings, never raised. `doctor_report.py` prints them.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmdpo.config.choices import EXAMPLE_FORMATS, LABELLED_FORMATS, TrainOn, file_formats, reading_format
from mmdpo.config.schema import DataConfig, SourceConfig
from mmdpo.errors import UserError
from mmdpo.images import open_image
from mmdpo.leftovers import temporary_prefix
from mmdpo.records import Conversation, LabelledAnswer
from mmdpo.sources import select, tables
from mmdpo.sources.fitting import fitting_formats, sample_rows
from mmdpo.sources.formats import file_format, prompt_format
from mmdpo.sources.hub import hub_rows
from mmdpo.sources.pair_reader import ReadPairs, check_pairs, scan_pairs
from mmdpo.sources.prompts import source_of
from mmdpo.sources.row_images import OTHER_MEDIA

FILE = "a .jsonl, .json, .csv or .parquet file"


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
    """The first record that would be used, and its images with their sizes in pixels."""

    id: str
    record: Conversation
    images: tuple[tuple[str, tuple[int, int]], ...] = ()


@dataclass
class Finding:
    """Result for one source of prompts, or for the file of pairs or answers.

    Attributes:
        name: The source's name, or `data.name`.
        format: Name of the data format.
        kind: Kind of records: prompts, pairs or answers.
        columns: Fields that the format reads.
        locations: Files and folders.
        wanted: Number of records that the settings ask for; None for all.
        offset: Number of records that are skipped.
        read: Number of rows; None if no row was read.
        kept: Number of rows that can be used.
        found: Number of records that would be used.
        dropped: Number of rows that cannot be used, per reason.
        firsts: Place and detail of the first such row, per reason.
        labels: Number of answers per label, if they have labels.
        unused: Columns that are not read.
        sample: The first record, also one that another format than the chosen one makes of the rows.
        problem: Error message of a run with these data.
        fitting: Overrides that choose the format that fits rows which the chosen one cannot read.
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
    labels: dict[str, int] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    sample: Sample | None = None
    problem: str | None = None
    fitting: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[Location]:
        """Return the locations that a run needs and cannot use."""
        return [location for location in self.locations if location.missing]

    @property
    def good(self) -> bool:
        """Return whether a run could use the data as they are."""
        return not self.missing and self.problem is None


def examine(data: DataConfig, train_on: TrainOn | None = None) -> Iterator[Finding]:
    """Examine what a data set reads.

    Args:
        data: The settings of the data.
        train_on: The kind of training set that is made of them; None for pairs, or for answers to learn if the format
            holds these.

    Yields:
        A finding per source of prompts, or one for the file of pairs or answers; none for synthetic prompts.
    """
    if reads_file(data):
        yield _examine_pairs(data, reading_format(str(data.format), train_on))
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
        finding.sample = Sample(f"{finding.name}/{first.id}", first, _images(source.image_root, first.images))
    select.check_scanned(source, scanned, data.on_bad_row)


def _examine_pairs(data: DataConfig, form: str) -> Finding:
    if data.hub is None:
        rows = _rows_location("data.path", data.path, folders=True)
    else:
        rows = Location("data.hub", "rows", Path(data.hub), f"split {data.hub_split} of a data set of the hub")
    locations = [rows, _images_location("data.image_root", data.image_root)]
    columns = sorted(file_format(form).columns - set(OTHER_MEDIA))
    kind = "answers" if form in (*EXAMPLE_FORMATS.names(), *LABELLED_FORMATS.names()) else "pairs"
    finding = Finding(data.name, str(data.format), kind, columns, locations)
    if not finding.missing:
        _catch_problem(finding, lambda: _scan_pairs(finding, form, data))
    return finding


def _scan_pairs(finding: Finding, form: str, data: DataConfig) -> None:
    root = Path(data.image_root) if data.image_root else None
    path = Path(data.path or "") if data.hub is None else hub_rows(data)
    with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as folder:
        read, bad_rows = scan_pairs(path, root, Path(folder), form, data.seed, data.fields)
        finding.read, finding.kept, finding.found = read.read, len(read.pairs), len(read.pairs)
        finding.dropped, finding.firsts = read.dropped, bad_rows.firsts
        finding.unused = sorted(read.unused)
        labels = Counter(one.label for one in read.pairs if isinstance(one, LabelledAnswer))
        finding.labels = {str(label).lower(): labels[label] for label in (True, False) if labels}
        if not read.pairs and bad_rows.errors:
            finding.fitting = fitting_formats(sample_rows(path, "data.path"))
            finding.sample = _other_sample(finding.fitting, path, root, Path(folder), data)
        else:
            finding.sample = _pair_sample(read, Path(folder))
    check_pairs(read, bad_rows, data.on_bad_row, path, form, data.fields)


def _pair_sample(read: ReadPairs, folder: Path) -> Sample | None:
    if not read.pairs:
        return None
    first = read.pairs[0]
    images = _images(read.image_root, first.images)
    if read.image_root == folder:
        images = tuple(("in the file itself", size) for _, size in images)
    return Sample(first.id, first, images)


def _other_sample(fitting: list[str], path: Path, root: Path | None, folder: Path, data: DataConfig) -> Sample | None:
    """Return the first record of a format that fits."""
    names = [override.split()[0].removeprefix("data.format=") for override in fitting]
    if not names or names[0] not in file_formats():
        return None
    try:
        read, _ = scan_pairs(path, root, folder, names[0], data.seed)
    except UserError:  # rows name images, and no folder is given: the problem is reported with the chosen format
        return None
    return _pair_sample(read, folder)


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


def _images(root: Path | None, names: tuple[str, ...]) -> tuple[tuple[str, tuple[int, int]], ...]:
    return tuple((str(root / name), open_image(root / name).size) for name in names) if root is not None else ()
