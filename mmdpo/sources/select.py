"""A reproducible choice of prompts from a raw source: rows of lowest rank, the rank a hash of seed and id.

A smaller count gives a prefix of what a larger one gives, whatever the order of the rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import importlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdpo.config.choices import OnBadRow
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.files import atomic_write
from mmdpo.images import check_image, inside
from mmdpo.records import Prompt
from mmdpo.sources.bad_rows import Wrong
from mmdpo.sources.rows import BadImage, BadRow, Unfit, text
from mmdpo.sources.tables import Table

READERS = {name: f"mmdpo.sources.{name}" for name in ("scigraphqa", "lrv", "llava_sft")}
"""The module of each reader: `prompt` reads a row, COLUMNS are what it looks at."""


@dataclass(frozen=True)
class Source:
    """Which rows to take: `count` of them (all where None) after the first `offset`, in order of rank."""

    name: str
    reader: str
    path: Path
    image_root: Path | None
    count: int | None
    offset: int = 0

    @property
    def key(self) -> str:
        """The setting that errors name."""
        return f"data.sources.{self.name}"


@dataclass(frozen=True)
class Selected:
    """The prompts by rank, and what became of the rows: `read` is `kept` and the sum of `dropped`."""

    prompts: list[Prompt]
    read: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Scanned:
    """The prompts by rank with their images' names in the root, and what became of the rows.

    `overflowed` says that more rows were good at first than were looked at closely.
    """

    prompts: list[Prompt]
    read: int
    wrong: Wrong
    overflowed: bool

    @property
    def kept(self) -> int:
        """How many rows are good, as far as their images were decoded."""
        return self.read - self.wrong.reasons.total()


def select(source: Source, seed: int, on_bad_row: OnBadRow, folder: Path) -> Selected:
    """Choose a source's prompts and put their images under `folder`, which becomes their image root.

    All rows are read once and none but the chosen ones stay in memory, beside 8 bytes an id. Images must
    exist; those of the chosen rows and of the rows before them are decoded too, and a damaged one gives way
    to the next row in rank. For that some more rows are kept than are asked for: 64 and a tenth. Of rows
    with one id the first good one counts; the others are dropped, which is never an error, since some
    sources name rows by their photograph.
    """
    scanned = scan(source, seed)
    settle(source, scanned, on_bad_row)
    for name in {prompt.image for prompt in scanned.prompts}:
        if name is not None and source.image_root is not None:
            _link(inside(source.image_root, name), folder / source.name / name)
    prompts = [_prefixed(prompt, source.name) for prompt in scanned.prompts]
    return Selected(prompts, scanned.read, scanned.kept, dict(scanned.wrong.reasons))


def scan(source: Source, seed: int) -> Scanned:
    """Read all rows once and decode the images; raises UserError where the files themselves are wrong."""
    if source.image_root is not None and not source.image_root.is_dir():
        raise UserError(
            f"{source.key}.image_root={source.image_root}: no such folder; type {source.key}.image_root=DIR"
        )
    reader = _reader(source)
    table = Table(source.path, f"{source.key}.path", reader.COLUMNS)
    wrong = Wrong()
    lowest = _Lowest(source)
    seen: set[int] = set()
    read = 0
    with progress(f"{source.name} rows", table.count()) as advance:
        for number, row in table.rows():
            read += 1
            advance(1)
            try:
                prompt = reader.prompt(row)
                text(prompt.question, "question", "non-empty text")
                digest = int.from_bytes(hashlib.sha256(prompt.id.encode()).digest()[:8])
                if digest in seen:
                    raise Unfit("field 'id': duplicate", f"{prompt.id!r} is an earlier row's too")
                prompt = _with_image(prompt, source)
            except BadRow as error:
                wrong.add(table.place(number), error)
                continue
            seen.add(digest)
            lowest.push(_rank(seed, prompt.id), number, prompt)
    if not read:
        raise UserError(f"{source.key}.path={source.path}: no rows; allowed: one object a question")
    return Scanned(_decoded(source, lowest, table, wrong), read, wrong, lowest.overflowed)


def candidate_images(source: Source, seed: int) -> list[str]:
    """List the images of the rows that `scan` would look at closely; images are not opened.

    These are the rows of lowest rank, some more than are asked for. Rows whose image is missing count among them.
    """
    reader = _reader(source)
    lowest = _Lowest(source)
    seen: set[str] = set()
    for number, row in Table(source.path, f"{source.key}.path", reader.COLUMNS).rows():
        try:
            prompt = reader.prompt(row)
        except BadRow:
            continue
        if prompt.id not in seen:
            seen.add(prompt.id)
            lowest.push(_rank(seed, prompt.id), number, prompt)
    return sorted({prompt.image for _, prompt in lowest.ascending() if prompt.image is not None})


def settle(source: Source, scanned: Scanned, on_bad_row: OnBadRow) -> None:
    """Raise UserError where rows are wrong and must not be, or where too few are left."""
    scanned.wrong.settle(scanned.read, scanned.kept, on_bad_row)
    _enough(source, len(scanned.prompts), scanned.kept, scanned.overflowed)


class _Lowest:
    """The rows of lowest rank among those pushed, as many as a source can need."""

    def __init__(self, source: Source) -> None:
        wanted = None if source.count is None else source.offset + source.count
        self._limit = None if wanted is None else wanted + 64 + wanted // 10
        self._heap: list[tuple[int, int, Prompt]] = []  # the highest rank first, thus negative
        self.overflowed = False

    def push(self, rank: int, number: int, prompt: Prompt) -> None:
        if self._limit is None or len(self._heap) < self._limit:
            heapq.heappush(self._heap, (-rank, number, prompt))
        else:
            heapq.heappushpop(self._heap, (-rank, number, prompt))
            self.overflowed = True

    def ascending(self) -> list[tuple[int, Prompt]]:
        return [(number, prompt) for _, number, prompt in sorted(self._heap, reverse=True)]


def _rank(seed: int, id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"source {seed} {id}".encode()).digest())


def _reader(source: Source) -> Any:
    if source.reader not in READERS:
        allowed = ", ".join(READERS)
        raise UserError(f"{source.key}.reader={source.reader}: no such reader; allowed: {allowed}")
    return importlib.import_module(READERS[source.reader])


def _with_image(prompt: Prompt, source: Source) -> Prompt:
    """The prompt with its image's name in the root, as it is without `..` and links; BadRow if absent."""
    if prompt.image is None:
        return prompt
    if source.image_root is None:
        raise UserError(
            f"{source.key}: rows name images ({prompt.image!r} is the first); type {source.key}.image_root=DIR"
        )
    try:
        path = inside(source.image_root, prompt.image)
    except UserError as error:
        raise BadImage(error) from error
    return dataclasses.replace(prompt, image=path.relative_to(source.image_root.resolve()).as_posix())


def _decoded(source: Source, lowest: _Lowest, table: Table, wrong: Wrong) -> list[Prompt]:
    """The rows to take, all of whose images decode.

    Skipped rows are decoded like the others: else what one source takes and another skips would differ.
    """
    good: list[Prompt] = []
    faults: dict[str, UserError | None] = {}  # by name: rows may share an image
    ascending = lowest.ascending()
    with progress(f"{source.name} images", len(ascending)) as advance:
        for number, prompt in ascending:
            if source.count is not None and len(good) == source.offset + source.count:
                break
            advance(1)
            if prompt.image is not None and source.image_root is not None:
                if prompt.image not in faults:
                    faults[prompt.image] = _fault(inside(source.image_root, prompt.image))
                if fault := faults[prompt.image]:
                    wrong.add(table.place(number), BadImage(fault))
                    continue
            good.append(prompt)
    return good[source.offset :]


def _fault(path: Path) -> UserError | None:
    try:
        check_image(path)
    except UserError as error:
        return error
    return None


def _enough(source: Source, found: int, kept: int, overflowed: bool) -> None:
    if source.count is None and found:
        return
    if source.count is not None and found >= source.count:
        return
    after = f" after {source.key}.offset={source.offset}" if source.offset else ""
    if overflowed:
        raise UserError(
            f"{source.key}: too many damaged images in {source.image_root}: {found} rows are left{after}; "
            f"mend the images, or type {source.key}.count={found}"
        )
    if not found:
        raise UserError(f"{source.key}: {kept} good rows, none{after}; type {source.key}.offset=0")
    raise UserError(
        f"{source.key}.count={source.count}: only {found} good rows{after}; type {source.key}.count={found}"
    )


def _prefixed(prompt: Prompt, name: str) -> Prompt:
    image = None if prompt.image is None else f"{name}/{prompt.image}"
    return dataclasses.replace(prompt, id=f"{name}/{prompt.id}", image=image)


def _link(path: Path, target: Path) -> None:
    """Give the file a second name, or copy it where the file system cannot."""
    with atomic_write(target) as aside:
        try:
            os.link(path, aside)
        except OSError:
            shutil.copyfile(path, aside)
