"""Single items on which a trained point differs most from its base."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from mmdpo.analysis.items import read_task_items
from mmdpo.analysis.label_lines import is_mixed
from mmdpo.analysis.labels import sign
from mmdpo.analysis.page.browser import FOLDER, PAGE
from mmdpo.analysis.study import Row, Study
from mmdpo.points.identity import Role

EXAMPLES = 3
"""The number of examples of the largest gains, and of the largest losses."""


@dataclass(frozen=True)
class Example:
    """One item answered by the base and by a trained point."""

    id: str
    category: str
    question: str
    base_answer: str
    base_score: float
    answer: str
    score: float

    @property
    def gain(self) -> float:
        """The trained point's score minus the base's."""
        return self.score - self.base_score

    def address(self, benchmark: str, base: str, point: str) -> str:
        """Return the address of the item in the browser beside the page, relative to it."""
        values = [("task", benchmark), ("point", base), ("point", point), ("item", self.id)]
        return f"{FOLDER}/{PAGE}#{urlencode(values)}"


def best_point(study: Study) -> Row | None:
    """Return the finished trained point with the best score on the first benchmark; None if scores are mixed."""
    if not (names := study.benchmarks) or is_mixed(study, names[0]):
        return None
    done = [row for row in study.trained if names[0] in row.scores]
    return max(done, key=lambda row: sign(names[0]) * row.scores[names[0]].value, default=None)


def examples(study: Study, point: Row, benchmark: str) -> tuple[list[Example], list[Example]]:
    """Return the items of the point's largest gains over the base, and of its largest losses.

    Args:
        study: The study, with one base point.
        point: The trained point.
        benchmark: The benchmark whose items are compared.
    """
    base = only_base(study)
    if base is None:
        return [], []
    before = read_task_items(base.folder, benchmark)
    after = read_task_items(point.folder, benchmark)
    found = [
        Example(
            key,
            str(item.get("category") or ""),
            str(item.get("question") or ""),
            str(before[key].get("answer") or ""),
            float(before[key]["score"]),
            str(item.get("answer") or ""),
            float(item["score"]),
        )
        for key, item in after.items()
        if key in before and _is_number(item.get("score")) and _is_number(before[key].get("score"))
    ]
    better = sign(benchmark)
    found.sort(key=lambda example: (-better * example.gain, example.id))
    gains = [example for example in found[:EXAMPLES] if better * example.gain > 0]
    losses = [example for example in found[: -EXAMPLES - 1 : -1] if better * example.gain < 0]
    return gains, losses


def only_base(study: Study) -> Row | None:
    """Return the finished base of a study; None if it has none, or several."""
    bases = [row for row in study.of_role(Role.base) if row.scores]
    return bases[0] if len(bases) == 1 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
