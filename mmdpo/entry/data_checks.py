"""Checks of the data's settings, and of the files that they name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.choices import FORMATS
from mmdpo.config.schema import DataConfig


def data_settings_problems(data: DataConfig) -> Iterator[str]:
    """Describe each wrong setting apart from ranges and choices, whether or not files exist."""
    for name in data.sources:
        if not name.isidentifier():
            yield f"data.sources.{name}: the name of a source consists of letters, digits and underscores"


def data_file_problems(data: DataConfig) -> Iterator[str]:
    """Describe each file or folder that is needed and does not exist."""
    if data.name in FORMATS and data.path is None:
        yield f"data.path is missing: data={data.name} needs your file; add data.path=FILE"
    if data.path is not None and not Path(data.path).is_file():
        yield f"data.path={data.path}: there is no such file; type data.path=FILE"
    if data.image_root is not None and not Path(data.image_root).is_dir():
        yield f"data.image_root={data.image_root}: there is no such folder; type data.image_root=DIR"
    for name, source in data.sources.items():
        key = f"data.sources.{name}"
        if source.path is None or not Path(source.path).exists():
            yield f"{key}.path={source.path}: there is no such file or folder; type {key}.path=FILE"
        if source.image_root is not None and not Path(source.image_root).is_dir():
            yield f"{key}.image_root={source.image_root}: there is no such folder; type {key}.image_root=DIR"
