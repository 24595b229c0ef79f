"""The miniature's prompts: questions about scenes and charts, the paper's photographs and figures."""

from __future__ import annotations

from pathlib import Path

from mmdpo.nano.items import preference_items
from mmdpo.records import Prompt


def prompts(split: str, count: int, seed: int, folder: Path) -> list[Prompt]:
    """Questions about scenes and charts in turn, some about things that are not there.

    The images are written to `folder`/images, and `Prompt.image` is relative to `folder`. The
    same arguments give the same prompts and the same bytes. Raises ValueError for an unknown split.
    """
    return preference_items(count, split, seed, folder)
