"""Protocol of data formats. Each format is one file of this package and is chosen by the file's name.

The name that the file defines at its top level decides what the format is for:

    PROMPTS = Format(columns, by_row(function))    # data.sources.NAME.format; gives `Prompt`
    PAIRS = Format(columns, by_row(function))      # data.format; gives rows as `mmdpo.sources.pairs` reads them
    EXAMPLES = Format(columns, by_row(function))   # data.format; gives `SftExample`, or rows as messages.py
    LABELLED = Format(columns, function)           # in X_labelled.py: data.format=X for methods with labels
    SYNTHETIC = Synthetic(function, version)       # data.format; prompts that need no file

The function takes the fields of one row and returns one record. It raises BadRow for a row that cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from mmdpo.config.choices import EXAMPLE_FORMATS, LABELLED_FORMATS, PAIR_FORMATS, PROMPT_FORMATS, SYNTHETIC_FORMATS
from mmdpo.errors import UserError
from mmdpo.records import Prompt
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.rows import fields

Item = TypeVar("Item")
NumberedRows = Iterator[tuple[int, Any]]
"""Raw rows with their numbers, as `mmdpo.sources.tables.Table.rows` yields them."""


@dataclass(frozen=True)
class Format(Generic[Item]):
    """A data format that is read from files.

    Attributes:
        columns: Fields that the format reads. Other columns of parquet files are not loaded.
        convert: Function of numbered raw rows and `data.seed`. It yields numbered records, and a BadRow in place of
            a row that cannot be used. Most formats use `by_row`; one that joins rows writes its own.
        report_unused: Whether columns outside `columns` are reported to the user.
    """

    columns: frozenset[str]
    convert: Callable[[NumberedRows, int], Iterator[tuple[int, Item | BadRow]]]
    report_unused: bool = False


@dataclass(frozen=True)
class Synthetic:
    """Prompts that are made by code.

    Attributes:
        generate: Function of `data.prompts`, `data.seed` and a folder. It returns the prompts and writes their images
            below the folder, to which `Prompt.images` are relative.
        version: Function that returns a text. Prompts are generated again when the text changes.
        generate_text: Function of `data.text_prompts` and `data.seed` that returns prompts without images, for
            `data.text_share`; None if the format has none.
    """

    generate: Callable[[int, int, Path], list[Prompt]]
    version: Callable[[], str]
    generate_text: Callable[[int, int], list[Prompt]] | None = None


def by_row(
    convert_row: Callable[[dict[str, Any]], Item],
) -> Callable[[NumberedRows, int], Iterator[tuple[int, Item | BadRow]]]:
    """Build a `Format.convert` that makes one record of each row, from a function of the row's fields."""

    def convert(rows: NumberedRows, seed: int) -> Iterator[tuple[int, Item | BadRow]]:
        for number, row in rows:
            item: Item | BadRow
            try:
                item = convert_row(fields(row))
            except BadRow as error:
                item = error
            yield number, item

    return convert


class CountedRows:
    """Iterate over numbered rows and count them, because a format may make one record of several rows."""

    def __init__(self, rows: NumberedRows, advance: Callable[[int], None]) -> None:
        """Count `rows` and call `advance(1)` per row."""
        self._rows = rows
        self._advance = advance
        self.count = 0

    def __iter__(self) -> CountedRows:
        """Return the iterator itself."""
        return self

    def __next__(self) -> tuple[int, Any]:
        """Return the next numbered row."""
        item = next(self._rows)
        self.count += 1
        self._advance(1)
        return item


def prompt_format(name: str, key: str) -> Format[Prompt]:
    """Load a format of prompts; `key` is the override that chose it. Raises UserError naming the choices."""
    found: Format[Prompt] = replace(PROMPT_FORMATS, key=key).load(name)
    return found


def file_format(name: str) -> Format[Any]:
    """Load the format of a file of pairs or answers. Raises UserError naming the choices."""
    for kind in (EXAMPLE_FORMATS, PAIR_FORMATS, LABELLED_FORMATS):
        if name in kind.names():
            found: Format[Any] = kind.load(name)
            return found
    allowed = ", ".join((*PAIR_FORMATS.names(), *EXAMPLE_FORMATS.names()))
    raise UserError(f"data.format={name}: not a format of files; allowed are {allowed}")


def synthetic_prompts(name: str | None) -> Synthetic:
    """Load prompts that are made by code. Raises UserError naming the choices."""
    found: Synthetic = SYNTHETIC_FORMATS.load(name or "null")
    return found
