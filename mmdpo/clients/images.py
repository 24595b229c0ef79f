"""An image as a service takes it: in a format that it knows, no larger than it allows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from mmdpo.images import open_image

LARGEST = 6 << 20  # bytes; base64 makes 8 MiB of them, and services refuse requests of 20 MB and more


@dataclass(frozen=True)
class Photograph:
    """Bytes to send, their type, and what was done to them, if anything."""

    content: bytes
    mime: str
    note: str | None


def encode_image(path: Path, side: int) -> Photograph:
    """The file itself where that will do, else a copy with at most `side` pixels a side.

    Raises UserError for an image that cannot be read.
    """
    image = open_image(path)
    content = path.read_bytes()
    mime = _type(content)
    if mime and len(content) <= LARGEST and max(image.size) <= side and not _is_turned(content):
        return Photograph(content, mime, None)
    before = f"{image.width}x{image.height}, {len(content)} bytes"
    image.thumbnail((side, side))
    copy = io.BytesIO()
    image.save(copy, "PNG")
    mime = "image/png"
    if copy.tell() > LARGEST:
        copy = io.BytesIO()
        image.save(copy, "JPEG", quality=90)
        mime = "image/jpeg"
    note = f"image sent as {image.width}x{image.height} {mime} instead of {before}"
    return Photograph(copy.getvalue(), mime, note)


def _is_turned(content: bytes) -> bool:
    """Whether EXIF says that the pixels lie on their side; services differ in whether they look."""
    with Image.open(io.BytesIO(content)) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) != 1


def _type(content: bytes) -> str | None:
    """The type by the first bytes: embedded images have names without a suffix."""
    if content.startswith(b"\x89PNG"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None
