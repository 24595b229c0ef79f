"""Images of a file of pairs: named below the user's folder, or held by the file itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa

from mmdpo.errors import UserError
from mmdpo.files import atomic_write, file_fingerprint
from mmdpo.images import check_image, inside, relative
from mmdpo.sources.bad_rows import BadImage
from mmdpo.sources.row_images import Image
from mmdpo.sources.tables import Table


class PairImages:
    """Images of one file: in the user's folder, or written to ours if the file itself holds them."""

    def __init__(self, image_root: Path | None, folder: Path, table: Table) -> None:
        """Take the folder that rows name images in, and the one that images of the file itself are written to."""
        self._image_root = image_root
        self._folder = folder
        self._embedded = _embeds_images(table)
        self._written: set[str] = set()
        self._errors: dict[str, UserError | None] = {}  # by name, because rows may share an image

    @property
    def root(self) -> Path:
        """Return the folder to which the names of all images are relative."""
        return self._folder if self._embedded or self._image_root is None else self._image_root

    def resolve(self, image: Image) -> str:
        """Return an image's name below `root`. Raises BadRow if it is missing, damaged or outside."""
        if isinstance(image, bytes):
            name = self._write(image)
            self._embedded = True
            return name
        if self._image_root is None:
            raise UserError(f"rows name images ({image!r} is the first); type data.image_root=DIR")
        if image not in self._errors:
            self._errors[image] = self._error(self._image_root, image)
        if error := self._errors[image]:
            raise BadImage(error)
        if self._embedded:
            return self._copy(self._image_root, image)
        return relative(self._image_root, image) if Path(image).is_absolute() else image

    def below_root(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names that `resolve` returned as names below the final root.

        All images must have one root, so those that rows name are copied beside images of the file itself. Which of
        the two a JSON file has is known only when it was read.
        """
        root = self._image_root
        if not self._embedded or root is None:
            return names
        return tuple(name if name in self._written else self._copy(root, name) for name in names)

    def _copy(self, root: Path, name: str) -> str:
        return self._write(inside(root, name).read_bytes())

    @staticmethod
    def _error(root: Path, image: str) -> UserError | None:
        try:
            check_image(inside(root, image))
        except UserError as error:
            return error
        return None

    def _write(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()[:32]
        self._written.add(name)
        path = self._folder / name
        if not path.exists() or file_fingerprint(path, len(name)) != name:  # absent or torn
            try:
                with atomic_write(path) as aside:
                    aside.write_bytes(content)
                    check_image(aside)
            except UserError as error:
                detail = str(error).removeprefix(f"image {aside}: ")
                raise BadImage(UserError(f"the embedded image: {detail}")) from error
        return name


def _embeds_images(table: Table) -> bool:
    columns = [column for schema in table.schemas() for column in schema if column.name in ("image", "images")]
    types = [column.type.value_type if pa.types.is_list(column.type) else column.type for column in columns]
    return any(pa.types.is_struct(type) or pa.types.is_binary(type) for type in types)
