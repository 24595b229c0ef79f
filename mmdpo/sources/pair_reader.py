"""Reading of the user's own file of preference pairs or answers (`data.path`), in any data format."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdpo.config.choices import OnBadRow
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.files import fingerprint
from mmdpo.records import LabelledAnswer, PreferencePair, SftExample
from mmdpo.sources.bad_rows import BadRow, BadRows
from mmdpo.sources.columns import NO_FIELDS, columns_of, renamed
from mmdpo.sources.fitting import misfit_advice
from mmdpo.sources.formats import CountedRows, file_format
from mmdpo.sources.kto_labelled import LabelledRow
from mmdpo.sources.markers import forbid_markers
from mmdpo.sources.messages import ExampleRow
from mmdpo.sources.pair_images import PairImages
from mmdpo.sources.pairs import PairRow, parse
from mmdpo.sources.tables import Table
from mmdpo.sources.turns import Dialogue

log = logging.getLogger(__name__)


@dataclass
class ReadPairs:
    """Records of one file.

    Attributes:
        pairs: Valid preference pairs, or examples if the format holds answers to learn or with labels.
        image_root: Folder that the records' images are relative to.
        read: Number of rows in the file.
        dropped: Number of rows that were not used, per reason.
        unused: Columns that are not read.
    """

    pairs: list[PreferencePair] | list[SftExample] | list[LabelledAnswer]
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
    fields: Mapping[str, str] = NO_FIELDS,
) -> ReadPairs:
    """Read a file or folder. Every image is decoded once, so that damage is found before training.

    Args:
        path: File or folder of files, as `mmdpo.sources.tables` reads them.
        image_root: Folder of the images that rows name.
        on_bad_row: Whether bad rows are an error or are dropped.
        folder: Folder to which images inside the files are written, named by their content.
        format: Name of the data format.
        seed: Seed for formats that choose among several rejected answers.
        fields: The setting `data.fields`.

    Returns:
        The records and the counts of rows.

    Raises:
        UserError: A file cannot be read, or rows are bad and must not be.
    """
    read, bad_rows = scan_pairs(path, image_root, folder, format, seed, fields)
    check_pairs(read, bad_rows, on_bad_row, path, format, fields)
    if read.unused:
        log.info("%s: columns that are not used: %s", path.name, ", ".join(sorted(read.unused)))
    return read


def check_pairs(
    read: ReadPairs, bad_rows: BadRows, on_bad_row: OnBadRow, path: Path, format: str, fields: Mapping[str, str]
) -> None:
    """Raise UserError if rows are bad and must not be, with the format that fits if no row can be used.

    Args:
        read: What was read.
        bad_rows: The rows that cannot be used.
        on_bad_row: The setting `data.on_bad_row`.
        path: The file or folder.
        format: Name of the data format.
        fields: The setting `data.fields`.
    """
    misfit = not read.pairs and bad_rows.errors > 0
    hint = misfit_advice(path, format, fields) if misfit else ""
    bad_rows.check(read.read, len(read.pairs), on_bad_row, hint)


def scan_pairs(
    path: Path,
    image_root: Path | None,
    folder: Path,
    format: str = "pairs",
    seed: int = 0,
    fields: Mapping[str, str] = NO_FIELDS,
) -> tuple[ReadPairs, BadRows]:
    """Read a file like `read_pairs`, but return bad rows instead of raising an error.

    Args:
        path: File or folder of files.
        image_root: Folder of the images that rows name.
        folder: Folder for images inside the files.
        format: Name of the data format.
        seed: Seed for formats that choose among several rejected answers.
        fields: The setting `data.fields`.

    Returns:
        The records and the bad rows.

    Raises:
        UserError: A file or a setting is wrong.
    """
    chosen = file_format(format)
    table = Table(path, "data.path", columns_of(chosen, fields))
    if image_root is not None and not image_root.is_dir():
        raise UserError(f"data.image_root={image_root}: no such folder; type data.image_root=DIR")
    images = PairImages(image_root, folder, table)
    records = _Records(images)
    bad_rows = BadRows()
    unused = table.names() - columns_of(chosen, fields) if chosen.report_unused else set()
    with progress("pairs", table.count()) as advance:
        rows = CountedRows(table.rows(), advance)
        for number, item in chosen.convert(renamed(rows, fields), seed):
            try:
                unused |= records.add(item, number, table)
            except BadRow as error:
                bad_rows.add(table.place(number), error)
    if not rows.count:
        raise UserError(f"data.path={path}: no rows; allowed: one object per row")
    pairs = [_with_images(record, images.below_root(record.images)) for record in records.kept]
    return ReadPairs(pairs, images.root, rows.count, dict(bad_rows.reasons), frozenset(unused)), bad_rows


def pair_image_names(
    path: Path, format: str = "pairs", seed: int = 0, fields: Mapping[str, str] = NO_FIELDS
) -> list[str]:
    """List the images that the rows of a file name, each once. Images are not opened; bad rows are left out.

    Args:
        path: File or folder of files.
        format: Name of the data format.
        seed: Seed for formats that choose among several rejected answers.
        fields: The setting `data.fields`.

    Returns:
        Names below `data.image_root`, in the order of the rows.

    Raises:
        UserError: A file or the format is wrong.
    """
    chosen = file_format(format)
    names: dict[str, None] = {}
    table = Table(path, "data.path", columns_of(chosen, fields))
    for _, item in chosen.convert(renamed(table.rows(), fields), seed):
        try:
            row = _parsed(item)
        except BadRow:
            continue
        images = row.images if isinstance(row, SftExample) else row.dialogue.images
        names |= {image: None for image in images if isinstance(image, str)}
    return list(names)


def pair_contexts(path: Path, format: str, seed: int, fields: Mapping[str, str]) -> list[list[Any]]:
    """List the system's texts and the places of images, which earlier versions did not read.

    Args:
        path: File or folder of files.
        format: Name of the data format.
        seed: Seed for formats that choose among several rejected answers.
        fields: The setting `data.fields`.

    Returns:
        Number, system and places of each row that has either; bad rows are left out.
    """
    chosen = file_format(format)
    table = Table(path, "data.path", columns_of(chosen, fields))
    if not table.may_hold_turns():
        return []
    found = []
    for number, item in chosen.convert(renamed(table.rows(), fields), seed):
        try:
            row = _parsed(item)
        except BadRow:
            continue
        said = row if isinstance(row, SftExample) else row.dialogue
        if said.system or said.image_positions:
            places = [[position.turn, position.offset] for position in said.image_positions]
            found.append([number, said.system, places])
    return found


def _parsed(item: Any) -> PairRow | ExampleRow | SftExample:
    """Return what a format made of a row; a row in the plain form of pairs is parsed. Raises BadRow."""
    if isinstance(item, BadRow):
        raise item
    return item if isinstance(item, PairRow | ExampleRow | SftExample) else parse(item)


class _Records:
    """Records of one file, with unique ids."""

    def __init__(self, images: PairImages) -> None:
        self._images = images
        self._numbers: dict[str, int] = {}  # row by id
        self._numbers_by_pair: dict[PreferencePair, int] = {}  # before ids get a suffix
        self.kept: list[Any] = []

    def add(self, item: Any, number: int, table: Table) -> frozenset[str]:
        """Add the record of a row and return the row's fields that are not used. Raises BadRow."""
        row = _parsed(item)
        if isinstance(row, SftExample):  # LLaVA's ids name photographs
            forbid_markers([row.question, row.answer, row.system], "text")
            self._keep(dataclasses.replace(row, images=tuple(map(self._images.resolve, row.images))), number)
            return frozenset()
        names = tuple(map(self._images.resolve, row.dialogue.images))
        id = row.id or content_fingerprint(row, names)
        if isinstance(row, ExampleRow):
            self._keep(_example(row, id, names), number)
            return frozenset()
        pair = _pair(row, id, names)
        if pair in self._numbers_by_pair:
            first = table.place(self._numbers_by_pair[pair], named=len(table.files) > 1)
            raise BadRow("field 'id': duplicate" if row.id else "duplicate row", f"all texts are those of {first}")
        self._numbers_by_pair[pair] = number
        self._keep(pair, number)
        return row.unused

    def _keep(self, record: PreferencePair | SftExample | LabelledAnswer, number: int) -> None:
        """Keep a record. A repeated id gets the number of its row, because ids often name the picture."""
        id = record.id
        while id in self._numbers:
            id = f"{id}-{number}"
        self._numbers[id] = number
        self.kept.append(record if id == record.id else dataclasses.replace(record, id=id))


def content_fingerprint(row: PairRow | ExampleRow, names: tuple[str, ...]) -> str:
    """Fingerprint the texts and images of a row, which is the id of a row without one."""
    said = row.dialogue
    answers = [row.answer] if isinstance(row, ExampleRow) else [row.chosen, row.rejected]
    content = [said.question, *answers, names[0] if names else None]
    history = [[turn.question, turn.answer] for turn in said.history]
    places = [[position.turn, position.offset] for position in said.image_positions]
    more = [names[1:], said.system, places]  # left out where a row has none of them, as in earlier versions
    return fingerprint([*content, history, *(more if any(more) else [])])


def _with_images(record: Any, names: tuple[str, ...]) -> Any:
    return record if names == record.images else dataclasses.replace(record, images=names)


def _pair(row: PairRow, id: str, names: tuple[str, ...]) -> PreferencePair:
    return PreferencePair(id=id, chosen=row.chosen, rejected=row.rejected, **_conversation(row.dialogue, names))


def _example(row: ExampleRow, id: str, names: tuple[str, ...]) -> SftExample | LabelledAnswer:
    if isinstance(row, LabelledRow):
        return LabelledAnswer(id=id, answer=row.answer, label=row.label, **_conversation(row.dialogue, names))
    return SftExample(id=id, answer=row.answer, **_conversation(row.dialogue, names))


def _conversation(dialogue: Dialogue, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that pairs and examples share."""
    return {
        "question": dialogue.question,
        "images": names,
        "history": dialogue.history,
        "system": dialogue.system,
        "image_positions": dialogue.image_positions,
    }
