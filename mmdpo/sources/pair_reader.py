"""Reading of the user's own file of preference pairs or answers (`data.path`), in any data format."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmdpo.config.choices import OnBadRow
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.files import atomic_write, file_fingerprint, fingerprint
from mmdpo.images import check_image, inside
from mmdpo.records import PreferencePair, SftExample
from mmdpo.sources.bad_rows import BadImage, BadRow, BadRows
from mmdpo.sources.formats import CountedRows, file_format
from mmdpo.sources.pairs import PairRow, parse
from mmdpo.sources.tables import Table

log = logging.getLogger(__name__)


@dataclass
class ReadPairs:
    """Records of one file.

    Attributes:
        pairs: Valid preference pairs, or examples if the format holds answers to learn.
        image_root: Folder that the records' images are relative to.
        read: Number of rows in the file.
        dropped: Number of rows that were not used, per reason.
        unused: Columns that are not read.
    """

    pairs: list[PreferencePair] | list[SftExample]
    image_root: Path
    read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unused: frozenset[str] = frozenset()


def read_pairs(
    path: Path,
    image_root: Path | None,
    on_bad_row: OnBadRow,
    folder: Path,
    format: str = "pairs",
    seed: int = 0,
) -> ReadPairs:
    """Read a file or folder. Every image is decoded once, so that damage is found before training.

    Args:
        path: File or folder of files: .jsonl, .json or .parquet.
        image_root: Folder of the images that rows name.
        on_bad_row: Whether bad rows are an error or are dropped.
        folder: Folder to which images inside parquet files are written, named by their content.
        format: Name of the data format.
        seed: Seed for formats that choose among several rejected answers.

    Returns:
        The records and the counts of rows.

    Raises:
        UserError: A file cannot be read, or rows are bad and must not be.
    """
    read, bad_rows = scan_pairs(path, image_root, folder, format, seed)
    bad_rows.check(read.read, len(read.pairs), on_bad_row)
    if read.unused:
        log.info("%s: columns that are not used: %s", path.name, ", ".join(sorted(read.unused)))
    return read


def scan_pairs(
    path: Path, image_root: Path | None, folder: Path, format: str = "pairs", seed: int = 0
) -> tuple[ReadPairs, BadRows]:
    """Read a file like `read_pairs`, but return bad rows instead of raising an error.

    Args:
        path: File or folder of files.
        image_root: Folder of the images that rows name.
        folder: Folder for images inside parquet files.
        format: Name of the data format.
        seed: Seed for formats that choose among several rejected answers.

    Returns:
        The records and the bad rows.

    Raises:
        UserError: A file or a setting is wrong.
    """
    chosen = file_format(format)
    table = Table(path, "data.path", chosen.columns)
    if image_root is not None and not image_root.is_dir():
        raise UserError(f"data.image_root={image_root}: no such folder; type data.image_root=DIR")
    images = _Images(image_root, folder, embedded=_embeds_images(table))
    records: list[Any] = []
    seen: dict[str, int] = {}
    bad_rows = BadRows()
    unused = table.names() - chosen.columns if chosen.report_unused else set()
    with progress("pairs", table.count()) as advance:
        rows = CountedRows(table.rows(), advance)
        for number, item in chosen.convert(rows, seed):
            try:
                if isinstance(item, BadRow):
                    raise item
                record: PreferencePair | SftExample
                if isinstance(item, SftExample):
                    record = _example(item, number, seen, images)
                else:
                    parsed = parse(item)
                    record = _pair(parsed, images)
                    unused |= parsed.unused
                if record.id in seen:
                    first = table.place(seen[record.id], named=len(table.files) > 1)
                    raise BadRow("field 'id': duplicate", f"{record.id!r} is the id of {first} as well")
            except BadRow as error:
                bad_rows.add(table.place(number), error)
                continue
            seen[record.id] = number
            records.append(record)
    if not rows.count:
        raise UserError(f"data.path={path}: no rows; allowed: one object per row")
    read = ReadPairs(records, images.root, rows.count, dict(bad_rows.reasons), frozenset(unused))
    return read, bad_rows


def pair_image_names(path: Path, format: str = "pairs", seed: int = 0) -> list[str]:
    """List the images that the rows of a file name, each once. Images are not opened; bad rows are left out.

    Args:
        path: File or folder of files.
        format: Name of the data format.
        seed: Seed for formats that choose among several rejected answers.

    Returns:
        Names below `data.image_root`, in the order of the rows.

    Raises:
        UserError: A file or the format is wrong.
    """
    chosen = file_format(format)
    names: dict[str, None] = {}
    for _, item in chosen.convert(Table(path, "data.path", chosen.columns).rows(), seed):
        try:
            if isinstance(item, BadRow):
                continue
            images = item.images if isinstance(item, SftExample) else parse(item).images
        except BadRow:
            continue
        names |= {image: None for image in images if isinstance(image, str)}
    return list(names)


def _example(example: SftExample, number: int, seen: Mapping[str, int], images: _Images) -> SftExample:
    """Resolve an example's images. LLaVA's ids name photographs, so a repeated id gets the row's number."""
    id = f"{example.id}-{number}" if example.id in seen else example.id
    return dataclasses.replace(example, id=id, images=tuple(map(images.resolve, example.images)))


def _pair(row: PairRow, images: _Images) -> PreferencePair:
    names = tuple(map(images.resolve, row.images))
    content = [row.question, row.chosen, row.rejected, names[0] if names else None]
    return PreferencePair(
        id=row.id or fingerprint([*content, [[turn.question, turn.answer] for turn in row.history]]),
        question=row.question,
        chosen=row.chosen,
        rejected=row.rejected,
        images=names,
        history=row.history,
    )


class _Images:
    """Images of one file: in the user's folder, or written to ours if the file itself holds them."""

    def __init__(self, image_root: Path | None, folder: Path, embedded: bool) -> None:
        self._image_root = image_root
        self._embedded = embedded
        self._errors: dict[str, UserError | None] = {}  # by name, because rows may share an image
        self.root = folder if embedded else image_root if image_root is not None else folder

    def resolve(self, image: str | bytes) -> str:
        """Return an image's name below `root`. Raises BadRow if it is missing, damaged or outside."""
        if isinstance(image, bytes):
            return self._write(image)
        if self._image_root is None:
            raise UserError(f"rows name images ({image!r} is the first); type data.image_root=DIR")
        if image not in self._errors:
            self._errors[image] = self._error(self._image_root, image)
        if error := self._errors[image]:
            raise BadImage(error)
        # All images must have one root: named images are copied beside embedded ones.
        return self._write(inside(self._image_root, image).read_bytes()) if self._embedded else image

    @staticmethod
    def _error(root: Path, image: str) -> UserError | None:
        try:
            check_image(inside(root, image))
        except UserError as error:
            return error
        return None

    def _write(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()[:32]
        path = self.root / name
        if not path.exists() or file_fingerprint(path, len(name)) != name:
            try:
                with atomic_write(path) as aside:
                    aside.write_bytes(content)
                    check_image(aside)
            except UserError as error:
                detail = str(error).removeprefix(f"image {aside}: ")
                raise BadImage(UserError(f"the embedded image: {detail}")) from error
        return name


def _embeds_images(table: Table) -> bool:
    columns = [column for schema in table.schemas() for column in schema if column.name in ("image", "images")]
    types = [column.type.value_type if pa.types.is_list(column.type) else column.type for column in columns]
    return any(pa.types.is_struct(type) or pa.types.is_binary(type) for type in types)
