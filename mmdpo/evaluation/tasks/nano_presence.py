"""Presence questions (in the manner of POPE): is the thing in the image, yes or no?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.scorers import Judged
from mmdpo.evaluation.statistics import Score, score
from mmdpo.records import Prompt, Rating


def says_yes(text: str) -> bool | None:
    """POPE's reading of an answer: its first sentence, commas dropped; no or not means no, yes means yes.

    Upstream counts everything else as yes; here it is None, and counted as unparsed.
    """
    words = re.split(r"\s+", text.split(".")[0].replace(",", "").strip().lower())
    if "no" in words or "not" in words:
        return False
    return True if "yes" in words else None


def items(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """The questions; their images are written below `folder`."""
    from mmdpo.nano.items import presence_items

    return presence_items(bench.items, bench.split.value, bench.seed, folder)


def judge(prompt: Prompt, answer: str, rate: Callable[[Prompt, str], Rating]) -> Judged:
    """Right or wrong, by the label alone; no judge is asked."""
    said, truth = says_yes(answer), prompt.facts["answer"] == ["yes"]
    return Judged(
        id=prompt.id,
        category=prompt.category,
        question=prompt.question,
        answer=answer,
        score=float(said is truth),
        parts={"said_yes": float(said is True), "is_yes": float(truth), "unparsed": float(said is None)},
        words=len(answer.split()),
    )


def f1(said: NDArray[np.float64], truth: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """F1 of the answer yes over 0/1 arrays; 0 where there is nothing to find or say."""
    hits = (said * truth).sum(axis)
    return 2 * hits / np.maximum(said.sum(axis) + truth.sum(axis), 1)


def summarize(items: Sequence[Judged], bench: BenchConfig) -> dict[str, Score]:
    """Accuracy (key ""), F1, the share answered yes, the share that could not be read, and the length."""
    said, truth = ([item.parts[part] for item in items] for part in ("said_yes", "is_yes"))
    return {
        "": score([[item.score for item in items]], bench),
        "f1": score([said, truth], bench, f1),
        "yes_ratio": score([said], bench),
        "unparsed": score([[item.parts["unparsed"] for item in items]], bench),
        "words": score([[item.words for item in items]], bench),
    }
