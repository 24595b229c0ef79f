"""Prompts of all sources that `data.sources` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdpo.config.schema import DataConfig, SourceConfig
from mmdpo.records import Prompt
from mmdpo.sources.select import Source, candidate_images, select


def gather_prompts(data: DataConfig, folder: Path) -> tuple[list[Prompt], dict[str, Any]]:
    """Select the prompts of all sources.

    Returns:
        The prompts, with their images below `folder`, and the counts of rows per source.
    """
    prompts: list[Prompt] = []
    facts: dict[str, Any] = {}
    for name, config in data.sources.items():
        found = select(source_of(name, config), data.seed, data.on_bad_row, folder)
        prompts += found.prompts
        facts[name] = {"read": found.read, "kept": found.kept, "dropped": found.dropped}
    return prompts, {"sources": facts}


def prompt_image_names(name: str, config: SourceConfig, seed: int) -> list[str]:
    """List the images of the rows of a source that may be selected. Images are not opened."""
    return candidate_images(source_of(name, config), seed)


def source_of(name: str, config: SourceConfig) -> Source:
    """Convert the settings of one source."""
    image_root = Path(config.image_root) if config.image_root else None
    return Source(name, config.format, Path(config.path or ""), image_root, config.count, config.offset)
