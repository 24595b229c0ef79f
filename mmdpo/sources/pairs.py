"""The user's own preference pairs: JSON lines, a JSON list or parquet.

A row has `prompt` (or `question`), `chosen` and `rejected`, and where there are any `image` and `id`. TRL's
conversational form is read too: lists of `{role, content}`, and `images` with one image.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmdpo.config import OnBadRow
from mmdpo.errors import UserError
from mmdpo.files import fingerprint, written_aside
from mmdpo.records import PreferencePair
from mmdpo.sources.images import check_image, inside
from mmdpo.sources.rows import FIELDS, BadRow, Row, parse

log = logging.getLogger("mmdpo.sources.pairs")

SUFFIXES = (".jsonl", ".json", ".parquet")
LISTED = 10  # wrong rows that an error spells out; the others are counted
UNUSED = "%s: columns that are not used: %s"
UNUSABLE = "field 'image': not usable"
BATCH = 64  # rows of a parquet file in memory at once; they may hold images


@dataclass
class ReadPairs:
    """What a file held: good pairs, how many rows there were, and what was dropped, by reason.

    The images of the pairs are names under `image_root`.
    """

    pairs: list[PreferencePair]
    image_root: Path
    read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


def read_pairs(path: Path, image_root: Path | None, on_bad_row: OnBadRow, folder: Path) -> ReadPairs:
    """The pairs of a file; every image is decoded once, so that damage is found before training.

    Images that a parquet file holds are written to `folder`, named by their content. Raises UserError
    on a wrong file, and on wrong rows unless they are to be dropped.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"data.path={path}: suffix {path.suffix!r}; allowed: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"data.path={path}: no such file; type data.path=FILE")
    if image_root is not None and not image_root.is_dir():
        raise UserError(f"data.image_root={image_root}: no such folder; type data.image_root=DIR")
    images = _Images(image_root, folder, embedded=_embeds_images(path))
    pairs: list[PreferencePair] = []
    seen: dict[str, int] = {}
    bad: list[str] = []
    reasons: Counter[str] = Counter()
    unused: set[str] = set()
    read = 0
    for number, row in _rows(path):
        read += 1
        try:
            parsed = parse(row)
            pair = _pair(parsed, images)
            if pair.id in seen:
                raise BadRow("field 'id': duplicate", f"{pair.id!r} is row {seen[pair.id]} too")
        except BadRow as error:
            reasons[error.reason] += 1
            if len(bad) < LISTED:
                bad.append(f"{path.name} row {number}: {error}")
            continue
        seen[pair.id] = number
        pairs.append(pair)
        unused |= parsed.unused
    if not read:
        raise UserError(f"data.path={path}: no rows; allowed: one object a pair")
    if reasons and (on_bad_row is OnBadRow.error or not pairs):
        raise UserError(_complaint(bad, reasons.total(), read, on_bad_row))
    if unused:
        log.info(UNUSED, path.name, ", ".join(sorted(unused)))
    return ReadPairs(pairs, images.root, read, dict(reasons))


def _complaint(bad: list[str], total: int, read: int, on_bad_row: OnBadRow) -> str:
    more = [f"... and {total - len(bad)} more"] if total > len(bad) else []
    advice = "mend them"
    if on_bad_row is OnBadRow.error and total < read:
        advice += ", or type data.on_bad_row=drop to go on without them"
    return "\n".join([f"{total} of {read} rows are wrong; {advice}", *bad, *more])


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
        self._faults: dict[str, str | None] = {}  # by name: rows may share an image
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
            raise BadRow(UNUSABLE, fault)
        # One root for all pairs: beside embedded images, named ones are copied.
        return self._written(inside(self._given, image).read_bytes()) if self._embedded else image

    @staticmethod
    def _fault(root: Path, image: str) -> str | None:
        try:
            check_image(inside(root, image))
        except UserError as error:
            return str(error)
        return None

    def _written(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()[:32]
        path = self.root / name
        if not path.exists():
            try:
                with written_aside(path) as aside:
                    aside.write_bytes(content)
                    check_image(aside)
            except UserError as error:
                detail = str(error).removeprefix(f"image {aside}: ")
                raise BadRow(UNUSABLE, f"the embedded image: {detail}") from error
        return name


def _embeds_images(path: Path) -> bool:
    if path.suffix.lower() != ".parquet":
        return False
    columns = {column.name: column.type for column in _parquet(path).schema_arrow}
    kinds = [columns[name] for name in ("image", "images") if name in columns]
    kinds = [kind.value_type if pa.types.is_list(kind) else kind for kind in kinds]
    return any(pa.types.is_struct(kind) or pa.types.is_binary(kind) for kind in kinds)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Each row with its number from 1; of JSON lines, the number of the line."""
    match path.suffix.lower():
        case ".jsonl":
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip(b"\xef\xbb\xbf \t\r\n"):
                        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        case ".json":
            yield from enumerate(_json_list(path), 1)
        case _:
            yield from enumerate(_parquet_rows(path), 1)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    file = _parquet(path)
    names = file.schema_arrow.names
    if unused := sorted(set(names) - FIELDS):
        log.info(UNUSED, path.name, ", ".join(unused))
    batches = file.iter_batches(batch_size=BATCH, columns=[name for name in names if name in FIELDS])
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"data.path={path}: damaged parquet file ({error})") from error
        if batch is None:
            return
        yield from batch.to_pylist()


def _json_list(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise UserError(
            f"data.path={path}: not JSON ({error}); allowed: a list of objects; "
            "a file of one object a line is named .jsonl"
        ) from error
    if not isinstance(rows, list):
        raise UserError(f"data.path={path}: holds one {type(rows).__name__}; allowed: a list of objects")
    return rows


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"data.path={path}: not a parquet file ({error})") from error
