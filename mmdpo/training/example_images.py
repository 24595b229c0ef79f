"""Images of training examples: their files below the image root, and the digests of their content."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmdpo.errors import UserError
from mmdpo.images import inside
from mmdpo.models.fingerprints import file_digest, is_settled
from mmdpo.records import Conversation


@dataclass(frozen=True)
class ImageFile:
    """An image's file, with all links followed, and the SHA-256 of its content."""

    path: Path
    digest: str


_known: dict[tuple[Path, str, int, int, int, int, int], ImageFile] = {}
"""The files that were found, by root, name and the state of the file: the points of a sweep look up the same ones."""


def image_files(examples: Iterable[Conversation], image_root: Path) -> dict[str, ImageFile]:
    """Find the files of all images of examples, by their names.

    Raises UserError if one is not a file under the root.
    """
    found: dict[str, ImageFile] = {}
    for example in examples:
        for name in example.images:
            if name not in found:
                try:
                    found[name] = _image_file(image_root, name)
                except UserError as error:
                    raise UserError(f"Record {example.id!r}: {error}. Type data.image_root=FOLDER.") from error
    return found


def _image_file(root: Path, name: str) -> ImageFile:
    """Find a file; one whose state has not changed since it was found is the same file with the same content."""
    try:
        state = os.stat(root / name)
    except (OSError, ValueError):
        return _read(inside(root, name))
    key = root, name, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
    if key not in _known:
        found = _read(inside(root, name))
        if not is_settled(state):
            return found
        _known[key] = found
    return _known[key]


def _read(path: Path) -> ImageFile:
    return ImageFile(path, file_digest(path))
