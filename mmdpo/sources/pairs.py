"""The user's own preference pairs: JSON lines, a JSON list or parquet.

A row has `prompt` (or `question`), `chosen` and `rejected`, and where there are any `image` and `id`. TRL's
conversational form is read too: lists of `{role, content}`, and `images` with one image.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmdpo.config.choices import OnBadRow
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.files import atomic_write, fingerprint
from mmdpo.images import check_image, inside
from mmdpo.records import PreferencePair, SftExample
from mmdpo.sources.bad_rows import Wrong
from mmdpo.sources.rows import FIELDS, BadImage, BadRow, Row, parse
from mmdpo.sources.tables import Table

log = logging.getLogger("mmdpo.sources.pairs")

Numbered = Iterator[tuple[int, Any]]
FORMATS: dict[str, str | None] = {
    "pairs": None,
    "authors": "mmdpo.sources.authors",
    "llava_rlhf": "mmdpo.sources.llava_rlhf",
    "helpsteer": "mmdpo.sources.helpsteer",
    "rlhf_v": "mmdpo.sources.rlhf_v",
    "llava_sft": "mmdpo.sources.llava_sft",
}
"""The module that reads each format; its `converted` gives rows in the form of `rows.parse`.

A format of answers to learn has `example` instead, and no pairs.
"""
SEEDED = ("helpsteer",)
UNUSED = "%s: columns that are not used: %s"


@dataclass
class ReadPairs:
    """What a file held: good pairs (or examples), how many rows there were, what was dropped, by reason.

    The images of the pairs are names under `image_root`; `unused` are columns that mean nothing here.
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
    """The pairs of a file or folder; every image is decoded once, so that damage is found before training.

    Images that a parquet file holds are written to `folder`, named by their content. Raises UserError
    on a wrong file, and on wrong rows unless they are to be dropped. `seed` is for formats that leave a
    choice of the rejected answer.
    """
    read, wrong = scan_pairs(path, image_root, folder, format, seed)
    wrong.settle(read.read, len(read.pairs), on_bad_row)
    if read.unused:
        log.info(UNUSED, path.name, ", ".join(sorted(read.unused)))
    return read


def scan_pairs(
    path: Path, image_root: Path | None, folder: Path, format: str = "pairs", seed: int = 0
) -> tuple[ReadPairs, Wrong]:
    """Like `read_pairs`, but wrong rows are only collected, also where none is good."""
    names, convert = _format(format, seed)
    read_example = getattr(importlib.import_module(FORMATS[format] or __name__), "example", None)
    table = Table(path, "data.path", names)
    if image_root is not None and not image_root.is_dir():
        raise UserError(f"data.image_root={image_root}: no such folder; type data.image_root=DIR")
    images = _Images(image_root, folder, embedded=_embeds_images(table))
    pairs: list[Any] = []
    seen: dict[str, int] = {}
    wrong = Wrong()
    unused = table.names() - FIELDS if format == "pairs" else set()
    with progress("pairs", table.count()) as advance:
        counted = _Counted(table.rows(), advance)
        for number, row in convert(counted):
            try:
                if isinstance(row, BadRow):
                    raise row
                pair: PreferencePair | SftExample
                if read_example:
                    pair = _with_image(read_example(row), number, seen, images)
                else:
                    parsed = parse(row)
                    pair = _pair(parsed, images)
                    unused |= parsed.unused
                if pair.id in seen:
                    first = table.place(seen[pair.id], named=len(table.files) > 1)
                    raise BadRow("field 'id': duplicate", f"{pair.id!r} is {first} too")
            except BadRow as error:
                wrong.add(table.place(number), error)
                continue
            seen[pair.id] = number
            pairs.append(pair)
    if not counted.count:
        raise UserError(f"data.path={path}: no rows; allowed: one object a pair")
    read = ReadPairs(pairs, images.root, counted.count, dict(wrong.reasons), frozenset(unused))
    return read, wrong


def image_names(path: Path, format: str = "pairs", seed: int = 0) -> list[str]:
    """List the images that the rows of a file name, each once; images are not opened, wrong rows name none."""
    columns, convert = _format(format, seed)
    read_example = getattr(importlib.import_module(FORMATS[format] or __name__), "example", None)
    names: dict[str, None] = {}
    for _, row in convert(Table(path, "data.path", columns).rows()):
        try:
            if isinstance(row, BadRow):
                continue
            image = read_example(row).image if read_example else parse(row).image
        except BadRow:
            continue
        if isinstance(image, str):
            names[image] = None
    return list(names)


class _Counted:
    """Rows that are counted as they pass: a format may make one pair of many."""

    def __init__(self, rows: Numbered, advance: Callable[[int], None]) -> None:
        self._rows = rows
        self._advance = advance
        self.count = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> tuple[int, Any]:
        item = next(self._rows)
        self.count += 1
        self._advance(1)
        return item


def columns(format: str) -> Collection[str]:
    """The columns that a format looks at."""
    return _format(format, 0)[0]


def _format(name: str, seed: int) -> tuple[Collection[str], Callable[[Numbered], Numbered]]:
    """The columns that a format has, and what turns its rows into those of `rows.parse`."""
    if name not in FORMATS:
        raise UserError(f"data.format={name}: no such format; allowed: {', '.join(FORMATS)}")
    module = FORMATS[name]
    if module is None:
        return FIELDS, lambda rows: rows
    loaded = importlib.import_module(module)
    if hasattr(loaded, "example"):
        return loaded.COLUMNS, lambda rows: rows
    convert = functools.partial(loaded.converted, seed=seed) if name in SEEDED else loaded.converted
    return loaded.COLUMNS, convert


def _with_image(example: SftExample, number: int, seen: Mapping[str, int], images: _Images) -> SftExample:
    """The example with its image's name; LLaVA's ids name photographs, so one that repeats gets a number."""
    name = f"{example.id}-{number}" if example.id in seen else example.id
    image = None if example.image is None else images.name(example.image)
    return dataclasses.replace(example, id=name, image=image)


def _pair(row: Row, images: _Images) -> PreferencePair:
    image = None if row.image is None else images.name(row.image)
    content = [row.question, row.chosen, row.rejected, image]
    return PreferencePair(
        id=row.id or fingerprint([*content, [[turn.question, turn.answer] for turn in row.history]]),
        question=row.question,
        chosen=row.chosen,
        rejected=row.rejected,
        image=image,
        history=row.history,
    )


class _Images:
    """Where a file's images lie: the user's folder, or ours where the file itself holds them."""

    def __init__(self, given: Path | None, folder: Path, embedded: bool) -> None:
        self._given = given
        self._embedded = embedded
        self._faults: dict[str, UserError | None] = {}  # by name: rows may share an image
        self.root = folder if embedded else given if given is not None else folder

    def name(self, image: str | bytes) -> str:
        """The image's name under `root`; BadRow where it is missing, damaged or outside."""
        if isinstance(image, bytes):
            return self._written(image)
        if self._given is None:
            raise UserError(f"rows name images ({image!r} is the first); type data.image_root=DIR")
        if image not in self._faults:
            self._faults[image] = self._fault(self._given, image)
        if fault := self._faults[image]:
            raise BadImage(fault)
        # One root for all pairs: beside embedded images, named ones are copied.
        return self._written(inside(self._given, image).read_bytes()) if self._embedded else image

    @staticmethod
    def _fault(root: Path, image: str) -> UserError | None:
        try:
            check_image(inside(root, image))
        except UserError as error:
            return error
        return None

    def _written(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()[:32]
        path = self.root / name
        if not path.exists():
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
    kinds = [column.type.value_type if pa.types.is_list(column.type) else column.type for column in columns]
    return any(pa.types.is_struct(kind) or pa.types.is_binary(kind) for kind in kinds)
