"""Rows of raw files, read one at a time: JSON lines, a JSON list, CSV or parquet, a single file or a folder."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import ijson  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq

from mmdpo.errors import UserError
from mmdpo.files import atomic_write
from mmdpo.sources.csv_rows import csv_rows

TEXT_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
PACKED = ".gz"
ALLOWED_SUFFIXES = f"{', '.join(SUFFIXES)}, and {PACKED} after any of the first {len(TEXT_SUFFIXES)}"
BATCH = 64  # rows of a parquet file in memory at once; they may contain images
BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"
ALLOWED = "allowed: a list of objects, or one object per line"
FIRST_BYTES = {b'"': "str", b"n": "null", b"t": "true", b"f": "false"}


class Table:
    """Rows of a file, or of all files of a folder.

    Rows are numbered from 1, those of JSON lines by line. In a folder the numbers continue from file to file.
    """

    def __init__(self, path: Path, key: str, columns: Collection[str] | None = None) -> None:
        """List the files.

        Args:
            path: File or folder of files.
            key: The setting that errors name, for instance `data.path`.
            columns: Columns of parquet files to load; None for all.

        Raises:
            UserError: There is no file with an allowed suffix.
        """
        self.files = files(path, key)
        self._key = key
        self._columns = columns
        self._starts: list[tuple[int, Path]] = []  # the number before each file's first row

    def rows(self) -> Iterator[tuple[int, Any]]:
        """Yield each row with its number. Rows of JSON lines are bytes, the others are decoded."""
        self._starts = []
        last = 0
        for file in self.files:
            start = last
            self._starts.append((start, file))
            for number, row in self._file_rows(file):
                last = start + number
                yield last, row

    def place(self, number: int, named: bool = True) -> str:
        """Name the file (unless `named` is false) and the number within it of a row that `rows` yielded."""
        start, file = [entry for entry in self._starts if entry[0] < number][-1]
        return (f"{file.name} " if named else "") + f"row {number - start}"

    def count(self) -> int | None:
        """Return the number of rows, or None unless all files are parquet files, which store it."""
        total = 0
        for file in self.files:
            if suffix(file) != ".parquet":
                return None
            with _parquet(file, self._key) as opened:
                total += opened.metadata.num_rows
        return total

    def names(self) -> set[str]:
        """Return the columns of the parquet files."""
        return {name for schema in self.schemas() for name in schema.names}

    def schemas(self) -> Iterator[pa.Schema]:
        """Yield the schemas of the parquet files."""
        for file in self.files:
            if suffix(file) == ".parquet":
                with _parquet(file, self._key) as opened:
                    yield opened.schema_arrow

    def may_hold_turns(self) -> bool:
        """Return False if all files are parquet files whose columns hold plain values, or images, and no system."""
        columns = [column for schema in self.schemas() for column in schema if column.name not in ("image", "images")]
        return self.count() is None or any(pa.types.is_nested(one.type) or one.name == "system" for one in columns)

    def _file_rows(self, file: Path) -> Iterator[tuple[int, Any]]:
        try:
            match suffix(file):
                case ".jsonl" | ".json":
                    with _opened(file) as content:
                        yield from _json_rows(content, file, self._key)
                case ".csv" | ".tsv":
                    with _opened(file) as content:
                        yield from csv_rows(content, file, self._key, tabs=suffix(file) == ".tsv")
                case _:
                    yield from enumerate(_parquet_rows(file, self._key, self._columns), 1)
        except PermissionError as error:
            raise UserError(f"{self._key}={file}: not readable ({error})") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{self._key}={file}: damaged, or torn ({error}); allowed: a complete file") from error


def rows(path: Path, key: str, columns: Collection[str] | None = None) -> Iterator[tuple[int, Any]]:
    """Yield the numbered rows of a file or a folder.

    Args:
        path: File or folder of files.
        key: The setting that errors name.
        columns: Columns of parquet files to load; None for all.

    Returns:
        Iterator over numbers and rows, as in `Table.rows`.
    """
    return Table(path, key, columns).rows()


def suffix(file: Path) -> str:
    """Return the suffix that says how a file is read: that before .gz, if it is compressed and can be."""
    last = file.suffix.lower()
    inner = Path(file.stem).suffix.lower()
    return inner if last == PACKED and inner in TEXT_SUFFIXES else last


def files(path: Path, key: str) -> list[Path]:
    """Return the file itself, or the readable files of a folder by name. `key` is the setting that errors name."""
    if path.is_dir():
        # Hidden files are still being written, or were made by a desktop.
        found = sorted(
            file
            for file in path.iterdir()
            if suffix(file) in SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        if not found and key == "data.path" and any(suffix(file) in SUFFIXES for file in path.glob("*/*")):
            raise UserError(f"{key}={path}: files in folders of a folder; type data.hub={path}, or {key}=FOLDER/FOLDER")
        if not found:
            raise UserError(f"{key}={path}: a folder without files to read; allowed: files with {ALLOWED_SUFFIXES}")
        return found
    if suffix(path) not in SUFFIXES:
        raise UserError(f"{key}={path}: suffix {path.suffix!r}; allowed: {ALLOWED_SUFFIXES}, or a folder of them")
    if not path.is_file():
        raise UserError(f"{key}={path}: no such file; type {key}=FILE")
    return [path]


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSON lines or as a JSON list, by the path's suffix, and return their number."""
    if path.suffix.lower() not in (".json", ".jsonl"):
        raise UserError(f"{path}: suffix {path.suffix!r}; allowed: .json, .jsonl")
    as_list = path.suffix.lower() == ".json"
    count = 0
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as out:
        if as_list:
            out.write("[")
        for row in rows:
            if as_list:
                out.write(",\n" if count else "\n")
            out.write(json.dumps(row, ensure_ascii=False))
            if not as_list:
                out.write("\n")
            count += 1
        if as_list:
            out.write("\n]\n")
    return count


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    with gzip.open(file) if file.suffix.lower() == PACKED else file.open("rb") as content:
        yield cast(BinaryIO, content)


def _json_rows(content: BinaryIO, file: Path, key: str) -> Iterator[tuple[int, Any]]:
    """Read a list of objects, or one object per line. The content decides, because both suffixes are used for both."""
    first = _first(content)
    if first == b"[":
        yield from enumerate(_list(content, file, key), 1)
        return
    if suffix(file) == ".json":
        if first in FIRST_BYTES:
            raise UserError(f"{key}={file}: holds one {FIRST_BYTES[first]}; {ALLOWED}")
        if first == b"{" and not _is_object(content.readline()):
            raise UserError(f"{key}={file}: not JSON, or one object over several lines; {ALLOWED}")
        if first != b"{":
            yield from enumerate(_list(content, file, key), 1)  # which says what is wrong
            return
    content.seek(0)
    yield from _lines(content)


def _lines(content: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(content, 1):
        if line.strip(BOM + SPACE):
            yield number, line.removeprefix(BOM) if number == 1 else line


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _list(content: BinaryIO, file: Path, key: str) -> Iterator[Any]:
    items = ijson.items(content, "item", use_float=True)
    while True:
        try:
            row = next(items)
        except StopIteration:
            return
        except (ijson.JSONError, ValueError) as error:  # not JSON, or not UTF-8
            raise UserError(f"{key}={file}: not JSON, or torn ({_parser_message(error)}); {ALLOWED}") from error
        yield row


def _first(content: BinaryIO) -> bytes:
    """Return the first byte that is not a space, and set the position of the file to it."""
    start = len(BOM) if content.read(len(BOM)) == BOM else 0
    content.seek(start)
    while (byte := content.read(1)) and byte in SPACE:
        start += 1
    content.seek(start)
    return byte


def _parser_message(error: Exception) -> str:
    """Return the parser's message and the text at which it stopped, without the arrow below."""
    message = error.args[0] if error.args else error
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    reason, *near = [line.strip() for line in text.splitlines()[:2]] or [type(error).__name__]
    return f"{reason} near {near[0]}" if near and near[0] else reason


def _parquet_rows(file: Path, key: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    with _parquet(file, key) as opened:
        names = [name for name in opened.schema_arrow.names if columns is None or name in columns]
        batches = opened.iter_batches(batch_size=BATCH, columns=names)
        while True:
            try:
                batch = next(batches, None)
                decoded = [] if batch is None else batch.to_pylist()
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise UserError(f"{key}={file}: damaged parquet file ({error})") from error
            if batch is None:
                return
            yield from decoded


def _parquet(file: Path, key: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{key}={file}: not a parquet file ({error}); allowed: a complete one") from error
