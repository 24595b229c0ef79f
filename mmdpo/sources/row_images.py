"""Images that a row names or holds: in the columns `image` and `images`, or in a part of a turn's content."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.rows import require_text

Image = str | bytes
"""The name of a file below the image root, or the content of an image file."""

FILE_NAME = "the name of a file under data.image_root"
OTHER_MEDIA = ("videos", "video", "audios", "audio", "tools")
"""Columns whose content the models of mmdpo cannot be given."""


def column_images(row: dict[str, Any]) -> list[Image]:
    """Return the images of a row's columns `image` and `images`. Raises BadRow."""
    found = {name: _images(row[name], name) for name in ("image", "images") if row.get(name) is not None}
    if len(found) == 2 and found["image"] and found["images"] and found["image"] != found["images"]:
        raise BadRow("fields 'image' and 'images': different", "allowed: one of them, or the same images in both")
    return found.get("image") or found.get("images") or []


def check_media(row: dict[str, Any]) -> None:
    """Raise BadRow if a row has videos, audio or tools, which would be dropped."""
    for name in OTHER_MEDIA:
        if row.get(name) not in (None, "", "[]", [], {}):
            raise BadRow(f"field {name!r}: not supported", "allowed: text and images")


def read_image(value: Any, name: str) -> Image:
    """Return one image: a file name, bytes, a data URL, or `{bytes, path}` as Hugging Face data sets have it.

    Args:
        value: The value.
        name: The field, for the error message.

    Returns:
        The name or the content of the image file.

    Raises:
        BadRow: It is of another type, or a web address.
    """
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path") or value.get("url")
        if value is None:
            raise BadRow(f"field {name!r}: missing", "allowed: an image with bytes or a path")
    if isinstance(value, bytes) and value:
        return value
    text = require_text(value, name, FILE_NAME)
    scheme = text[:10].partition(":")[0].lower()
    if scheme == "data":
        return _of_data_url(text, name)
    if scheme in ("http", "https"):
        raise BadRow(f"field {name!r}: a web address", f"it is {text[:60]!r}; allowed: {FILE_NAME}")
    return unquote_to_bytes(urlsplit(text).path).decode("utf-8", "replace") if scheme == "file" else text


def _images(value: Any, name: str) -> list[Image]:
    items = value if isinstance(value, list) else [value]
    if items == [None]:
        return []
    return [read_image(item, name) for item in items]


def _of_data_url(text: str, name: str) -> bytes:
    head, comma, content = text.partition(",")
    try:
        if not comma or not head.endswith(";base64"):
            raise ValueError("it is not base64")
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRow(f"field {name!r}: not a data URL", f"{error}; allowed: data:image/png;base64,...") from error
