"""Preference pairs of VLFeedback (Li et al., 2024): several answers per prompt, rated in three aspects from 1 to 5.

The answer with the highest sum is chosen; a random one of those with a lower sum is rejected.
"""

from __future__ import annotations

from typing import Any

from mmdpo.sources.completions import rated_format
from mmdpo.sources.rows import read_number

COLUMNS = frozenset({"id", "image", "images", "prompt", "completions"})


def _score(completion: dict[str, Any]) -> float | None:
    """Return the sum of the ratings; None if one is missing, as in `N/A`."""
    annotations = completion.get("annotations")
    ratings = [value for value in annotations.values() if value] if isinstance(annotations, dict) else []
    scores = [read_number(value.get("Rating")) if isinstance(value, dict) else None for value in ratings]
    known = [score for score in scores if score is not None]
    return sum(known) if known and len(known) == len(scores) else None


PAIRS = rated_format(COLUMNS, "prompt", _score)
