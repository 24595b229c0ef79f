"""Reproducible selection of prompts from a source: the rows of lowest rank, a hash of seed and id.

A smaller count selects a prefix of what a larger count selects, whatever the order of the rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from mmdpo.config.choices import OnBadRow
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.files import atomic_write
from mmdpo.images import check_image, inside
from mmdpo.records import Prompt
from mmdpo.sources.bad_rows import BadImage, BadRow, BadRows, SkippedRow
from mmdpo.sources.formats import CountedRows, prompt_format
from mmdpo.sources.rows import require_text
from mmdpo.sources.tables import Table


@dataclass(frozen=True)
class Source:
    """Rows to select.

    Attributes:
        name: Name under `data.sources`.
        format: Name of the data format.
        path: File, or folder of files.
        image_root: Folder of the images that rows name.
        count: Number of prompts; None for all.
        offset: Number of prompts to skip, in order of rank.
    """

    name: str
    format: str
    path: Path
    image_root: Path | None
    count: int | None
    offset: int = 0

    @property
    def key(self) -> str:
        """Return the setting that errors name."""
        return f"data.sources.{self.name}"


@dataclass(frozen=True)
class Selected:
    """Selected prompts in order of rank, and the counts of rows: `read` is `kept` plus all `dropped`."""

    prompts: list[Prompt]
    read: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Scanned:
    """Prompts in order of rank before their images are linked.

    Attributes:
        prompts: The prompts; images are names below the source's image root.
        read: Number of rows.
        kept: Number of prompts without a known fault; images are decoded as far as they are needed.
        bad_rows: Rows that cannot be used.
        overflowed: Whether there were more candidates than were kept in memory.
    """

    prompts: list[Prompt]
    read: int
    kept: int
    bad_rows: BadRows
    overflowed: bool


def select(source: Source, seed: int, on_bad_row: OnBadRow, folder: Path) -> Selected:
    """Select prompts and link their images below `folder`, which becomes their image root.

    All rows are read once. Only candidates stay in memory, with 8 bytes per id. Images must exist. Those of the
    selected rows and of rows before them are decoded, and a row with a damaged image is replaced by the next in
    rank; for that, 64 and a tenth more candidates are kept than requested. Of rows with the same id the first valid
    one counts. The others are dropped without an error, because some sources name rows by their photograph.

    Args:
        source: Rows to select.
        seed: Seed of the ranks.
        on_bad_row: Whether bad rows are an error or are dropped.
        folder: New image root.

    Returns:
        The prompts, with the source's name before ids and images.

    Raises:
        UserError: A file or setting is wrong, rows are bad and must not be, or too few are left.
    """
    scanned = scan(source, seed)
    check_scanned(source, scanned, on_bad_row)
    for name in {name for prompt in scanned.prompts for name in prompt.images}:
        if source.image_root is not None:
            _link(inside(source.image_root, name), folder / source.name / name)
    prompts = [_prefixed(prompt, source.name) for prompt in scanned.prompts]
    return Selected(prompts, scanned.read, scanned.kept, dict(scanned.bad_rows.reasons))


def scan(source: Source, seed: int) -> Scanned:
    """Read all rows once and decode the images. Raises UserError if the files themselves are wrong."""
    if source.image_root is not None and not source.image_root.is_dir():
        raise UserError(
            f"{source.key}.image_root={source.image_root}: no such folder; type {source.key}.image_root=DIR"
        )
    chosen = prompt_format(source.format, f"{source.key}.format")
    table = Table(source.path, f"{source.key}.path", chosen.columns)
    bad_rows = BadRows()
    candidates = _Candidates(source)
    seen: set[int] = set()
    with progress(f"{source.name} rows", table.count()) as advance:
        rows = CountedRows(table.rows(), advance)
        for number, item in chosen.convert(rows, seed):
            try:
                if isinstance(item, BadRow):
                    raise item
                require_text(item.question, "question")
                digest = int.from_bytes(hashlib.sha256(item.id.encode()).digest()[:8])
                if digest in seen:
                    raise SkippedRow("field 'id': duplicate", f"{item.id!r} is the id of an earlier row as well")
                prompt = _with_images(item, source)
            except BadRow as error:
                bad_rows.add(table.place(number), error)
                continue
            seen.add(digest)
            candidates.push(_rank(seed, prompt.id), number, prompt)
    if not rows.count:
        raise UserError(f"{source.key}.path={source.path}: no rows; allowed: one object per question")
    prompts, damaged = _decodable(source, candidates, table, bad_rows)
    return Scanned(prompts, rows.count, len(seen) - damaged, bad_rows, candidates.overflowed)


def candidate_images(source: Source, seed: int) -> list[str]:
    """List the images of the rows that `scan` may select. Images are not opened, and may be missing.

    These are the rows of lowest rank, some more than are requested.
    """
    chosen = prompt_format(source.format, f"{source.key}.format")
    candidates = _Candidates(source)
    seen: set[str] = set()
    for number, item in chosen.convert(Table(source.path, f"{source.key}.path", chosen.columns).rows(), seed):
        if not isinstance(item, BadRow) and item.id not in seen:
            seen.add(item.id)
            candidates.push(_rank(seed, item.id), number, item)
    return sorted({name for _, prompt in candidates.ascending() for name in prompt.images})


def check_scanned(source: Source, scanned: Scanned, on_bad_row: OnBadRow) -> None:
    """Raise UserError if rows are bad and must not be, or if too few are left."""
    scanned.bad_rows.check(scanned.read, scanned.kept, on_bad_row)
    _check_enough(source, len(scanned.prompts), scanned.kept, scanned.overflowed)


class _Candidates:
    """The prompts of lowest rank among those pushed, as many as a source can need."""

    def __init__(self, source: Source) -> None:
        wanted = None if source.count is None else source.offset + source.count
        self._limit = None if wanted is None else wanted + 64 + wanted // 10
        self._heap: list[tuple[int, int, Prompt]] = []  # ranks are negated: the heap drops the highest
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


def _with_images(prompt: Prompt, source: Source) -> Prompt:
    """Normalize the names of a prompt's images below the root, without `..` and links. Raises BadRow if absent."""
    if not prompt.images:
        return prompt
    if source.image_root is None:
        raise UserError(
            f"{source.key}: rows name images ({prompt.images[0]!r} is the first); type {source.key}.image_root=DIR"
        )
    root = source.image_root.resolve()
    try:
        paths = [inside(source.image_root, name) for name in prompt.images]
    except UserError as error:
        raise BadImage(error) from error
    return dataclasses.replace(prompt, images=tuple(path.relative_to(root).as_posix() for path in paths))


def _decodable(source: Source, candidates: _Candidates, table: Table, bad_rows: BadRows) -> tuple[list[Prompt], int]:
    """Take the first candidates whose images can be decoded.

    Skipped rows (`offset`) are decoded as well; otherwise sources that share rows by offset would overlap or miss
    some.

    Returns:
        The prompts, and the number of candidates with a damaged image.
    """
    good: list[Prompt] = []
    damaged = 0
    errors: dict[str, UserError | None] = {}  # by name, because rows may share an image
    ascending = candidates.ascending()
    with progress(f"{source.name} images", len(ascending)) as advance:
        for number, prompt in ascending:
            if source.count is not None and len(good) == source.offset + source.count:
                break
            advance(1)
            for name in prompt.images:
                if source.image_root is not None and name not in errors:
                    errors[name] = _image_error(inside(source.image_root, name))
            if error := next((errors[name] for name in prompt.images if errors[name]), None):
                bad_rows.add(table.place(number), BadImage(error))
                damaged += 1
                continue
            good.append(prompt)
    return good[source.offset :], damaged


def _image_error(path: Path) -> UserError | None:
    try:
        check_image(path)
    except UserError as error:
        return error
    return None


def _check_enough(source: Source, found: int, kept: int, overflowed: bool) -> None:
    if source.count is None and found:
        return
    if source.count is not None and found >= source.count:
        return
    after = f" after {source.key}.offset={source.offset}" if source.offset else ""
    if overflowed:
        raise UserError(
            f"{source.key}: too many damaged images in {source.image_root}: {found} rows are left{after}; "
            f"repair the images, or type {source.key}.count={found}"
        )
    if not found:
        raise UserError(f"{source.key}: {kept} good rows, none{after}; type {source.key}.offset=0")
    raise UserError(
        f"{source.key}.count={source.count}: only {found} good rows{after}; type {source.key}.count={found}"
    )


def _prefixed(prompt: Prompt, name: str) -> Prompt:
    images = tuple(f"{name}/{image}" for image in prompt.images)
    return dataclasses.replace(prompt, id=f"{name}/{prompt.id}", images=images)


def _link(path: Path, target: Path) -> None:
    """Create a hard link, or a copy if the file system does not allow one."""
    with atomic_write(target) as aside:
        try:
            os.link(path, aside)
        except OSError:
            shutil.copyfile(path, aside)
