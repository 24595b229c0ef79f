"""The text instructions with a meaningless image in the context (in the manner of noisy-image MT-Bench)."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.scorers import judged as judge
from mmdpo.evaluation.scorers import summarize
from mmdpo.records import Prompt

__all__ = ["items", "judge", "summarize"]


def items(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """The questions; images, if any, are written below `folder`."""
    from mmdpo.nano.items import noisy_text_items

    return noisy_text_items(bench.items, bench.split.value, bench.seed, folder)
