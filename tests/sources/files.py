"""Raw files in the forms that sources have, and photographs beside them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.sources.photographs import photograph

Rows = list[dict[str, Any]]


def as_lines(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def as_list(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps(rows), "utf-8")
    return path


def as_parquet(path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


WRITERS: dict[str, Callable[[Path, Rows], Path]] = {
    "jsonl": as_lines,
    "json": as_list,
    "parquet": as_parquet,
}


def photos(root: Path, *names: str) -> Path:
    """A folder with one small photograph under each of the names."""
    picture = photograph("coffee.png", 32).convert("RGB")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(root / name)
    return root


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
