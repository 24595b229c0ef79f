"""Preference pairs of UltraFeedback (Cui et al., 2023): several answers per instruction with an overall score.

The answer with the highest score is chosen; a random one of those with a lower score is rejected.
"""

from __future__ import annotations

from typing import Any

from mmdpo.sources.completions import rated_format
from mmdpo.sources.rows import read_number


def _score(completion: dict[str, Any]) -> float | None:
    return read_number(completion.get("overall_score"))


PAIRS = rated_format(frozenset({"instruction", "completions"}), "instruction", _score)
