"""Removal of metadata from images before they are sent: the place and time of a photograph, its camera, comments.

The pixels stay as they are: only the parts of the file that a decoder needs are copied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs cICP mDCV cLLI acTL fcTL fdAT hIST sPLT".split()
)
WEBP_CHUNKS = frozenset([b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"])
WEBP_METADATA_FLAGS = 0x0C  # of VP8X: EXIF and XMP
STANDALONE = {0x01, *range(0xD0, 0xD8)}  # JPEG markers without a length


class UnknownStructure(Exception):
    """A file that is not built as its format says."""


def without_metadata(content: bytes, mime: str) -> bytes:
    """Return an image file without metadata; a file that has none is returned as it is.

    Args:
        content: The file, of one of the three MIME types below.
        mime: image/png, image/jpeg or image/webp.

    Raises:
        UnknownStructure: The file is not built as its format says.
    """
    parts = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}[mime]
    try:
        return b"".join(parts(content))
    except (struct.error, IndexError) as error:
        raise UnknownStructure from error


def _png(content: bytes) -> Iterator[bytes]:
    yield content[:8]
    position, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", content[position : position + 8])
        end = position + 12 + length
        if end > len(content):
            raise UnknownStructure
        if name in PNG_CHUNKS:
            yield content[position:end]
        position = end


def _jpeg(content: bytes) -> Iterator[bytes]:
    yield content[:2]
    position = 2
    while True:
        if content[position] != 0xFF:
            raise UnknownStructure
        while content[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = content[position + 1]
        if marker in STANDALONE:
            yield content[position : position + 2]
            position += 2
            continue
        if marker == 0xD9:  # end of image; what follows is another file, such as a video or a second image
            yield content[position : position + 2]
            return
        end = position + 2 + struct.unpack(">H", content[position + 2 : position + 4])[0]
        segment = content[position:end]
        if end > len(content):
            raise UnknownStructure
        if _needed(marker, segment[4:]):
            yield segment
        position = end
        if marker == 0xDA:  # start of scan: compressed data up to the next marker
            position = _scan_end(content, end)
            yield content[end:position]


def _needed(marker: int, payload: bytes) -> bool:
    """Return whether a decoder needs a segment; of APPn: JFIF, the colour profile and Adobe's transform."""
    if marker == 0xE0:
        return payload.startswith(b"JFIF\0")
    if marker == 0xE2:
        return payload.startswith(b"ICC_PROFILE\0")
    if marker == 0xEE:
        return payload.startswith(b"Adobe")
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _scan_end(content: bytes, position: int) -> int:
    while True:
        position = content.find(b"\xff", position)
        if position < 0:
            raise UnknownStructure
        if content[position + 1] and content[position + 1] not in STANDALONE and content[position + 1] != 0xFF:
            return position
        position += 1 if content[position + 1] == 0xFF else 2


def _webp(content: bytes) -> Iterator[bytes]:
    chunks, position = [], 12
    announced = min(len(content), 8 + struct.unpack("<I", content[4:8])[0])
    while position < announced:
        name, length = struct.unpack("<4sI", content[position : position + 8])
        end = position + 8 + length + length % 2
        if position + 8 + length > len(content):
            raise UnknownStructure
        if name in WEBP_CHUNKS:
            chunk = content[position:end]
            if name == b"VP8X":
                chunk = chunk[:8] + bytes([chunk[8] & ~WEBP_METADATA_FLAGS]) + chunk[9:]
            chunks.append(chunk)
        position = end
    size = 4 + sum(map(len, chunks))
    yield content[:4] + struct.pack("<I", size) + content[8:12]
    yield from chunks
