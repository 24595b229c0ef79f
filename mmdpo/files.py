"""Atomic writing and defensive reading of files, and fingerprints of their content.

After a kill at any moment a file is either complete or as it was before. What is read may still be damaged: by a full
disk, a power failure, or somebody's editor.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 30
"""The largest file that is read as a whole; ours are far smaller."""

HEADER_BYTES = 100_000_000
"""The largest header of a safetensors file, as in its specification."""

HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
"""The escape of a surrogate, which is no character on its own."""


class Unreadable(ValueError):
    """A file that cannot be used: torn, too large, nested too deeply, or not a regular file."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block ends without an error.

    The block may create a file or a folder there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{process_space()}-{os.getpid()}.tmp")
    try:
        yield aside
        if aside.is_dir() and os.path.lexists(path):
            _remove(path)
        os.replace(aside, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk names none
        raise
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that it holds; one that is absent is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON atomically."""
    with atomic_write(path) as aside:
        aside.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


FORMULAS = ("=", "+", "-", "@", *"\uff1d\uff0b\uff0d\uff20")
"""The beginnings of a spreadsheet's formulas, and their wide forms."""


def spreadsheet_cell(value: Any) -> Any:
    """Return a cell of a CSV file: text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str) or not value.lstrip().startswith(FORMULAS):
        return value
    try:
        float(value)
        return value
    except ValueError:
        return f"'{value}"


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file of at most `max_bytes`. Raises Unreadable, another ValueError or OSError if that fails."""
    text = read_bytes(path, max_bytes).decode("utf-8")
    try:
        data = json.loads(text)
        if HALF_PAIR.search(text):
            json.dumps(data, ensure_ascii=False).encode("utf-8")  # raises for a half pair
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    return data


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most `max_bytes`. Raises Unreadable for a larger one, and as `open_regular`."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise Unreadable(f"it has {size:,} bytes, more than {max_bytes:,}")
        return file.read(max_bytes)


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading, but neither a folder nor a pipe or device, which might never end.

    Raises:
        Unreadable: It is not a regular file.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # does not wait for a pipe's writer
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def is_whole_safetensors(path: Path) -> bool:
    """Return whether a safetensors file has a header, and the size that its header says; its numbers are not read."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(size - 8, HEADER_BYTES):
                return False
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return bool(8 + length + max(ends, default=0) == size)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return False


@functools.cache
def process_space() -> str:
    """Return a name of the machine or container in which this process's id is unique."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        namespace = ""
    return fingerprint([socket.gethostname(), namespace], length=6)


def fingerprint(data: Any, length: int = 16) -> str:
    """Return the SHA-256 of JSON-able data in hexadecimal, cut to `length` digits; key order does not matter."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def file_fingerprint(path: Path, length: int = 16) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, cut to `length` digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:length]
