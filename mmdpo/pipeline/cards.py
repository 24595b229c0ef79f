"""Cards of the data stages' folders in the cache: what is in a folder, and whether it is still as it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmdpo.cache import DIGESTS, write_digests
from mmdpo.console import print_line
from mmdpo.files import fingerprint, read_json
from mmdpo.models.fingerprints import file_digest

CARD = "card.json"
AUDIT = "audit"
"""The folder that the audit of a judge writes later."""


def content_of(folder: Path, sources: Sequence[Mapping[str, Any]]) -> str:
    """Return the fingerprint of the records in a folder, of the images beside them, and of their input.

    Args:
        folder: The folder.
        sources: The cards of its input.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent != folder / AUDIT]
    digests = {
        str(path.relative_to(folder)): file_digest(path)[:16]
        for path in files
        if path.parent != folder or path.suffix == ".jsonl"
    }
    return fingerprint([digests, [source["content"] for source in sources]])


def differs_from_card(folder: Path) -> bool:
    """Return whether a folder of an earlier version, which has no digests, differs from its card."""
    if not folder.exists() or (folder / DIGESTS).exists():
        return False
    try:
        card = read_json(folder / CARD)
        differs = content_of(folder, card["made_of"]) != card["content"]
    except (OSError, ValueError, TypeError, KeyError):
        differs = True
    if differs:
        print_line(f"{folder}: changed since it was made; making it again")
    else:
        with suppress(OSError):  # a cache that is read-only
            write_digests(folder)
    return differs
