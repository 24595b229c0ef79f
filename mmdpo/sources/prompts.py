"""Prompts out of the sources that `data.sources` names, and where their files are expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdpo.config.schema import DataConfig, SourceConfig
from mmdpo.records import Prompt
from mmdpo.sources.select import Selected, Source, candidate_images, select


def gathered(data: DataConfig, folder: Path) -> tuple[list[Prompt], dict[str, Any]]:
    """The prompts of all sources, their images under `folder`, and what became of the rows."""
    prompts: list[Prompt] = []
    facts: dict[str, Any] = {}
    for name, source in data.sources.items():
        found = selected(name, source, data, folder)
        prompts += found.prompts
        facts[name] = {"read": found.read, "kept": found.kept, "dropped": found.dropped}
    return prompts, {"sources": facts}


def selected(name: str, config: SourceConfig, data: DataConfig, folder: Path) -> Selected:
    """The prompts of one source."""
    image_root = Path(config.image_root) if config.image_root else None
    source = Source(name, config.reader, Path(config.path or ""), image_root, config.count, config.offset)
    return select(source, data.seed, data.on_bad_row, folder)


def image_names(name: str, config: SourceConfig, seed: int) -> list[str]:
    """List the images of the rows of a source that may be chosen; images are not opened."""
    image_root = Path(config.image_root) if config.image_root else None
    source = Source(name, config.reader, Path(config.path or ""), image_root, config.count, config.offset)
    return candidate_images(source, seed)
