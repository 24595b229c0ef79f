"""What a data set needs and what is there: a look at every file and row before anything runs.

What is missing or wrong is told, never raised.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmdpo.config.schema import DataConfig, SourceConfig
from mmdpo.errors import UserError
from mmdpo.images import open_image
from mmdpo.sources import pairs, select, tables

FILE = "a .jsonl, .json or .parquet file"


@dataclass(frozen=True)
class Place:
    """A file or folder that a setting names, or is to name where `path` is None."""

    key: str
    what: str  # rows, images
    path: Path | None
    state: str  # what is there, or what is wrong with it
    wants: str = ""  # what is expected
    advice: str = ""  # the override to type
    missing: bool = False


@dataclass(frozen=True)
class Sample:
    """The first that would be taken; `texts` by name, the image with its pixels."""

    id: str
    texts: dict[str, str]
    image: str | None = None
    size: tuple[int, int] | None = None


@dataclass
class Finding:
    """One source of prompts, or the file of pairs; `read` is None where its rows were not looked at.

    `found` of `wanted` can be taken; `columns` are the fields that are looked at in a row.
    """

    name: str
    form: str  # the reader or the format
    kind: str  # prompts, pairs
    columns: list[str]
    places: list[Place]
    wanted: int | None = None
    offset: int = 0
    read: int | None = None
    kept: int = 0
    found: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, str] = field(default_factory=dict)  # of each reason, the first row
    unused: list[str] = field(default_factory=list)
    sample: Sample | None = None
    problem: str | None = None  # what a run would say

    @property
    def missing(self) -> list[Place]:
        return [place for place in self.places if place.missing]

    @property
    def good(self) -> bool:
        """Whether a run would take it as it is."""
        return not self.missing and self.problem is None


def examine(data: DataConfig) -> Iterator[Finding]:
    """A finding for each source, or one for the file of pairs; none where data are drawn (data=nano)."""
    if holds_pairs(data):
        yield _pairs_finding(data)
        return
    for name, source in data.sources.items():
        yield _source_finding(name, source, data)


def holds_pairs(data: DataConfig) -> bool:
    """Whether the data are the user's own pairs."""
    return data.path is not None or data.name in pairs.FORMATS


def _source_finding(name: str, config: SourceConfig, data: DataConfig) -> Finding:
    key = f"data.sources.{name}"
    places = [
        _rows_place(f"{key}.path", config.path, folders=True),
        _images_place(f"{key}.image_root", config.image_root),
    ]
    columns = sorted(importlib.import_module(select.READERS[config.reader]).COLUMNS)
    finding = Finding(name, config.reader, "prompts", columns, places, wanted=config.count, offset=config.offset)
    if not finding.missing:
        _guarded(finding, lambda: _scan_source(finding, config, data))
    return finding


def _scan_source(finding: Finding, config: SourceConfig, data: DataConfig) -> None:
    root = Path(config.image_root) if config.image_root else None
    rows = Path(config.path or "")
    source = select.Source(finding.name, config.reader, rows, root, config.count, config.offset)
    scanned = select.scan(source, data.seed)
    finding.read, finding.kept, finding.found = scanned.read, scanned.kept, len(scanned.prompts)
    finding.dropped, finding.firsts = dict(scanned.wrong.reasons), scanned.wrong.firsts
    if scanned.prompts:
        first = scanned.prompts[0]
        shown, size = _image(root, first.image)
        finding.sample = Sample(f"{finding.name}/{first.id}", {"question": first.question}, shown, size)
    select.settle(source, scanned, data.on_bad_row)


def _pairs_finding(data: DataConfig) -> Finding:
    places = [
        _rows_place("data.path", data.path, folders=False),
        _images_place("data.image_root", data.image_root),
    ]
    finding = Finding(data.name, data.format, "pairs", sorted(pairs.columns(data.format)), places)
    if not finding.missing:
        _guarded(finding, lambda: _scan_pairs(finding, data))
    return finding


def _scan_pairs(finding: Finding, data: DataConfig) -> None:
    root = Path(data.image_root) if data.image_root else None
    with tempfile.TemporaryDirectory(prefix="mmdpo-doctor-") as folder:
        read, wrong = pairs.scan_pairs(Path(data.path or ""), root, Path(folder), data.format, data.seed)
        finding.read, finding.kept, finding.found = read.read, len(read.pairs), len(read.pairs)
        finding.dropped, finding.firsts = read.dropped, wrong.firsts
        finding.unused = sorted(read.unused)
        if read.pairs:
            first = read.pairs[0]
            names = ("question", "chosen", "rejected", "answer")
            texts = {name: getattr(first, name) for name in names if hasattr(first, name)}
            shown, size = _image(read.image_root, first.image)
            inner = read.image_root == Path(folder)
            finding.sample = Sample(first.id, texts, "in the file itself" if inner and shown else shown, size)
    wrong.settle(read.read, len(read.pairs), data.on_bad_row)


def _guarded(finding: Finding, scan: Callable[[], None]) -> None:
    try:
        scan()
    except (UserError, OSError) as error:
        finding.problem = str(error)


def _rows_place(key: str, given: str | None, folders: bool) -> Place:
    path = None if given is None else Path(given)
    wants = f"{FILE}, or a folder of them" if folders else FILE
    count, fault = 0, "not named"
    if path is not None:
        count, fault = _files(path, key, folders)
    if fault:
        return Place(key, "rows", path, fault, wants, f"{key}=FILE", missing=True)
    folder = path is not None and path.is_dir()
    files = f"{count:,} file" + ("" if count == 1 else "s")
    return Place(key, "rows", path, f"there, {'a folder of ' if folder else ''}{files}")


def _files(path: Path, key: str, folders: bool) -> tuple[int, str]:
    """How many files there are to read, or what is wrong in a few words."""
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


def _images_place(key: str, given: str | None) -> Place:
    advice = f"{key}=DIR"
    if given is None:
        return Place(key, "images", None, "no folder named", advice=advice)
    path = Path(given)
    try:
        fault = "missing" if not path.exists() else "" if path.is_dir() else "this is no folder"
        fault = fault or ("" if next(path.iterdir(), None) else "an empty folder")
    except OSError as error:
        fault = f"not readable ({error.strerror})"
    if fault:
        return Place(key, "images", path, fault, "a folder of images", advice, missing=True)
    return Place(key, "images", path, "there")


def _image(root: Path | None, name: str | None) -> tuple[str | None, tuple[int, int] | None]:
    if root is None or name is None:
        return None, None
    return str(root / name), open_image(root / name).size
