"""Images of benchmark items beside the page, named by their content: small ones as they are, others scaled down."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from mmdpo.errors import UserError
from mmdpo.files import atomic_write

SIDE = 768
"""The longest side of an image on the page, in pixels."""
SMALL = 200_000
"""Bytes up to which an image of that size is copied as it is."""
LIMIT = 200_000_000
"""Bytes of all images of a study; those beyond are left out and counted."""
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif"}
"""Formats that browsers show, with the suffix of their files."""
QUALITY = 85


@dataclass
class ItemImages:
    """The folder of the images of a study.

    Attributes:
        folder: The folder, which need not exist.
        limit: The bytes that the images may take.
        used: The names of the images that items have.
        total: The bytes of these images.
        is_full: Whether an image was left out because of the limit.
    """

    folder: Path
    limit: int = LIMIT
    used: set[str] = field(default_factory=set)
    total: int = 0
    is_full: bool = False

    def add(self, source: Path, digest: str) -> str | None:
        """Copy an image or scale it down.

        Args:
            source: The image.
            digest: The fingerprint of its content.

        Returns:
            Its name in the folder; None for one that cannot be read, or that does not fit the limit.
        """
        found = next((name for end in SUFFIXES.values() if (self.folder / (name := digest + end)).exists()), None)
        try:
            name = found or self._write(source, digest)
        except (UserError, OSError):
            return None
        return name if self.keep(name) else None

    def keep(self, name: str) -> bool:
        """Count an image that is there; return whether it is and fits the limit."""
        if name in self.used:
            return True
        try:
            size = (self.folder / name).stat().st_size
        except OSError:
            return False
        if self.total + size > self.limit:
            self.is_full = True
            return False
        self.used.add(name)
        self.total += size
        return True

    def remove_unused(self) -> None:
        """Delete the images that no item has."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name not in self.used and path.suffix in SUFFIXES.values():
                    path.unlink(missing_ok=True)

    def _write(self, source: Path, digest: str) -> str:
        from PIL import Image

        from mmdpo.images import IMAGE_FORMATS, open_image

        try:
            with Image.open(source, formats=IMAGE_FORMATS) as header:
                suffix, side = SUFFIXES.get(str(header.format)), max(header.size)
        except Exception as error:  # Pillow's decoders raise many types
            raise UserError(f"image {source}: damaged or unreadable ({error})") from error
        if suffix and side <= SIDE and source.stat().st_size <= SMALL:
            with atomic_write(self.folder / (digest + suffix)) as aside:
                shutil.copyfile(source, aside)
            return digest + suffix
        image = open_image(source)
        image.thumbnail((SIDE, SIDE))
        with atomic_write(self.folder / f"{digest}.jpg") as aside:
            image.save(aside, "JPEG", quality=QUALITY)
        return f"{digest}.jpg"
