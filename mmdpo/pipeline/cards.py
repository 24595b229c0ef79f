"""Cards of the data stages' folders in the cache: what is in a folder, and whether it is still as it was made."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdpo.files import fingerprint, open_regular, read_json
from mmdpo.models.fingerprints import file_digest

CARD = "card.json"
NOT_COUNTED = ("summary.json", "llava_dpo.json", "llava_sft.json")
"""Files that are made with the others and are not part of the content, since they follow from it."""


def content_of(folder: Path, sources: Sequence[Mapping[str, Any]]) -> str:
    """Return the fingerprint of the records in a folder, of the images beside them, and of their input.

    Args:
        folder: The folder.
        sources: The cards of its input.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    digests = {
        str(path.relative_to(folder)): file_digest(path)[:16]
        for path in files
        if path.parent != folder or path.suffix == ".jsonl"
    }
    return fingerprint([digests, [source["content"] for source in sources]])


def is_as_made(folder: Path) -> bool:
    """Return whether a folder has the content that its card names; False for a damaged card.

    All files are read once per process, and again if the records or the card have changed.
    """
    try:
        with os.scandir(folder) as entries:
            states = sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in entries)
        return _is_as_made(folder, tuple(states))
    except OSError:
        return False


@functools.lru_cache(maxsize=64)
def _is_as_made(folder: Path, states: tuple[tuple[str, int, int], ...]) -> bool:
    try:
        card = read_json(folder / CARD)
        same = card["content"] == content_of(folder, card["made_of"]) and isinstance(card["facts"], dict)
        return same and all(_ends(folder / name) for name in NOT_COUNTED)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _ends(path: Path) -> bool:
    """Return whether a JSON file ends as JSON does; True if there is none."""
    if not path.exists():
        return True
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 8))
        return file.read().rstrip().endswith((b"}", b"]"))
