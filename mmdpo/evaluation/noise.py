"""Unrelated images for questions about text: blank, noise, or a photograph of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdpo.config.choices import NoiseImage
from mmdpo.errors import UserError
from mmdpo.seeds import hashed_number

SIDE = 336  # pixels: what LLaVA-1.5 sees
LONGEST = 672  # pixels; longer sides of photographs are scaled down
GREY = (127, 127, 127)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def write_noise(path: Path, kind: NoiseImage, key: str, photo: Path | None) -> None:
    """Write an unrelated image.

    Args:
        path: The PNG file to write.
        kind: The kind of image.
        key: The text that random pixels are drawn by; equal texts give equal images.
        photo: The photograph for the kind `photo`.

    Raises:
        UserError: The photograph is damaged.
    """
    import numpy as np
    from PIL import Image

    from mmdpo.images import open_image

    if photo is not None:
        image = open_image(photo)
        image.thumbnail((LONGEST, LONGEST))
    elif kind is NoiseImage.noise:
        pixels = np.random.default_rng(hashed_number(key)).integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
    else:
        image = Image.new("RGB", (SIDE, SIDE), GREY)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def choose_photo(photos: Sequence[Path], key: str) -> Path:
    """Choose a photograph by a text; the choice depends on the number and order of the photographs alone."""
    return photos[hashed_number(key) % len(photos)]


def list_photos(folder: Path, key: str) -> tuple[Path, ...]:
    """List the images of a folder by name. Raises UserError naming `key` if it has none."""
    photos = tuple(sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES))
    if not photos:
        raise UserError(f"{key}={folder}: no images; allowed are {', '.join(SUFFIXES)}, or type bench.noise=blank")
    return photos
