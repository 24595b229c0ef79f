"""Prompts of the miniature: questions about drawn scenes and charts, in place of photographs and figures."""

from __future__ import annotations

from pathlib import Path

from mmdpo.nano import DATA_VERSION
from mmdpo.nano.items import preference_items, text_items
from mmdpo.records import Prompt
from mmdpo.sources.formats import Synthetic


def prompts(split: str, count: int, seed: int, folder: Path) -> list[Prompt]:
    """Generate questions about scenes and charts alternately, some about things that are not there.

    Args:
        split: One of `mmdpo.nano.splits.SHARES`.
        count: Number of prompts.
        seed: Seed. The same arguments give the same prompts and the same image bytes.
        folder: Folder to which `Prompt.images` are relative; images are written to its subfolder `images`.

    Returns:
        The prompts.

    Raises:
        ValueError: There is no such split.
    """
    return preference_items(count, split, seed, folder)


def _generate(count: int, seed: int, folder: Path) -> list[Prompt]:
    return prompts("preference", count, seed, folder)


def _generate_text(count: int, seed: int) -> list[Prompt]:
    return text_items(count, "preference", seed)


SYNTHETIC = Synthetic(_generate, version=lambda: str(DATA_VERSION), generate_text=_generate_text)
