"""Image files decoded for a model's processor: RGB, upright, and only from below their image root."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmdpo.errors import UserError

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that are read. Pillow supports others, among them some that start other programs (EPS)."""


class NoImage(UserError):
    """A missing image file."""


def open_image(path: Path) -> Image.Image:
    """Open an image in RGB, rotated by its EXIF orientation; of an animation, the first frame.

    Transparent parts become white. Raises UserError if the file is missing, damaged or too large.
    """
    return _rgb(_decoded(path))


def check_image(path: Path) -> None:
    """Decode the whole file. Raises UserError like `open_image`."""
    _decoded(path)


def inside(root: Path, name: str) -> Path:
    """Resolve the name of an image below its root.

    Args:
        root: Image root.
        name: Path relative to the root, or an absolute path below it.

    Returns:
        The resolved path.

    Raises:
        NoImage: There is no such file.
        UserError: The name is not a file name or leads out of the root.
    """
    try:
        path = (root / name).resolve()
        outside = not path.is_relative_to(_resolved(root.absolute()))
    except (ValueError, OSError, RuntimeError) as error:  # a NUL byte, a loop of symbolic links
        raise UserError(f"image {name!r}: not a file name ({error})") from error
    if outside:
        raise UserError(f"image {name!r}: is outside the image root {root}; allowed: a path inside it")
    if not os.path.isfile(path):
        raise NoImage(f"image {name!r}: no such file in {root}")
    return path


def relative(root: Path, name: str) -> str:
    """Return the name of an image that `inside` resolves as a path relative to the root."""
    return inside(root, name).relative_to(_resolved(root.absolute())).as_posix()


@functools.lru_cache
def _resolved(root: Path) -> Path:
    """Resolve the root of many images once, because every symbolic link on the way costs a system call."""
    return root.resolve()


def _decoded(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise UserError(f"image {path}: no such file") from error
    except UnidentifiedImageError as error:
        raise UserError(f"image {path}: not an image; allowed: {', '.join(IMAGE_FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"image {path}: too large ({error})") from error
    except Exception as error:  # Pillow's decoders raise many types: OSError, SyntaxError, struct.error
        raise UserError(f"image {path}: damaged or unreadable ({error})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey images of more than 8 bits; Pillow's conversion clips values above 255."""
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:  # 32-bit integers and floats have no defined white
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        low, high = values.min(), values.max()
    scaled = (values - low) / max(high - low, np.finfo(float).tiny) * 255
    return Image.fromarray(scaled.round().astype(np.uint8))
