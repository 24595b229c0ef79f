"""Encoding of images for a service: a format that it knows, no larger than it allows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from mmdpo.clients.metadata import UnknownStructure, without_metadata
from mmdpo.images import open_image

LARGEST = 6 << 20  # bytes; 8 MiB in base64, and services refuse requests of 20 MB and more


@dataclass(frozen=True)
class EncodedImage:
    """The bytes to send, their MIME type, and how they differ from the file, if they do."""

    content: bytes
    mime: str
    note: str | None


def encode_image(path: Path, side: int) -> EncodedImage:
    """Return the file itself if a service takes it, or else a copy of at most `side` x `side` pixels.

    Metadata is not sent: the place of a photograph is none of the service's business.

    Raises UserError for an image that cannot be read.
    """
    image = open_image(path)
    content = path.read_bytes()
    mime = _mime_type(content)
    if mime and len(content) <= LARGEST and max(image.size) <= side and not _is_rotated(content):
        try:
            bare = without_metadata(content, mime)
        except UnknownStructure:  # decoders are more lenient; the copy below has no metadata
            pass
        else:
            return EncodedImage(bare, mime, None if bare == content else "image sent without its metadata")
    before = f"{image.width}x{image.height}, {len(content)} bytes"
    image.info = {name: value for name, value in image.info.items() if name == "icc_profile"}
    image.thumbnail((side, side))
    copy = io.BytesIO()
    image.save(copy, "PNG")
    mime = "image/png"
    if copy.tell() > LARGEST:
        copy = io.BytesIO()
        image.save(copy, "JPEG", quality=90)
        mime = "image/jpeg"
    note = f"image sent as {image.width}x{image.height} {mime} instead of {before}"
    return EncodedImage(copy.getvalue(), mime, note)


def _is_rotated(content: bytes) -> bool:
    """Return whether EXIF asks for a rotation; services differ in whether they apply it."""
    with Image.open(io.BytesIO(content)) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) != 1


def _mime_type(content: bytes) -> str | None:
    """Return the type by the first bytes: embedded images have names without a suffix."""
    if content.startswith(b"\x89PNG"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None
