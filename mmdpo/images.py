"""Image files decoded for a model's processor: RGB, upright, and only from below their image root."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mmdpo.errors import UserError

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that are read. Pillow supports others, among them some that start other programs (EPS)."""

MAX_PIXELS = 64_000_000  # 8000 x 8000: the largest photographs of common cameras; they take up to 1 GB while decoded
MAX_SCANS = 100  # of a progressive JPEG, each as slow as a picture of its own; encoders write about ten
BAND = 1 << 22  # pixels that are scaled at once

TILE_SIDES = (322, 323)  # TIFF's tags of width and height of a tile, which may exceed the picture's


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
        name: Path relative to the root.

    Returns:
        The resolved path.

    Raises:
        NoImage: There is no such file.
        UserError: The name is not a file name or leads out of the root.
    """
    try:
        path = (root / name).resolve()
        outside = Path(name).is_absolute() or not path.is_relative_to(_resolved(root.absolute()))
    except (ValueError, OSError, RuntimeError) as error:  # a NUL byte, a loop of symbolic links
        raise UserError(f"image {name!r}: not a file name ({error})") from error
    if outside:
        raise UserError(f"image {name!r}: is outside the image root {root}; allowed: a path inside it")
    if not os.path.isfile(path):
        raise NoImage(f"image {name!r}: no such file in {root}")
    return path


@functools.lru_cache
def _resolved(root: Path) -> Path:
    """Resolve the root of many images once, because every symbolic link on the way costs a system call."""
    return root.resolve()


def _decoded(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            _require_decodable(image, path)
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise UserError(f"image {path}: no such file") from error
    except UnidentifiedImageError as error:
        raise UserError(f"image {path}: not an image; allowed: {', '.join(IMAGE_FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"image {path}: too large ({error})") from error
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many types: OSError, SyntaxError, struct.error
        raise UserError(f"image {path}: damaged or unreadable ({error})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _require_decodable(image: Image.Image, path: Path) -> None:
    """Check by an image's header what decoding takes. Raises UserError if that is too much memory or time."""
    pixels = image.width * image.height
    if isinstance(image, TiffImageFile):
        pixels = max(pixels, math.prod(int(image.tag_v2.get(tag, 0)) for tag in TILE_SIDES))
    if pixels > MAX_PIXELS:
        raise UserError(
            f"image {path}: too large ({image.width} x {image.height} pixels, {pixels:,} to decode); allowed are "
            f"{MAX_PIXELS:,} pixels: scale it down"
        )
    if image.info.get("progressive") and path.read_bytes().count(b"\xff\xda") > MAX_SCANS:
        raise UserError(f"image {path}: too slow to decode (more than {MAX_SCANS} scans); save it again")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey images of more than 8 bits; Pillow's conversion clips values above 255."""
    values = np.asarray(image)
    bands = np.array_split(values.reshape(-1), max(1, values.size // BAND))
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:  # 32-bit integers and floats have no defined white
        low, high = min(map(_lowest, bands)), max(map(_highest, bands))
    scale = max(high - low, np.finfo(float).tiny)
    scaled = [((_finite(band) - low) / scale * 255).round().astype(np.uint8) for band in bands]
    return Image.fromarray(np.concatenate(scaled).reshape(values.shape))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def _lowest(values: np.ndarray) -> float:
    return float(_finite(values).min())


def _highest(values: np.ndarray) -> float:
    return float(_finite(values).max())
