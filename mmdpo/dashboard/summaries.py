"""Scores and gains as the summary of a W&B run: `text`, `text_low`, `text_high`, `text_n`, `text_gain`, ..."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmdpo.analysis.gains import Gain
from mmdpo.evaluation.statistics import Score


def score_summary(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Return scores by key; those of whole tasks with interval, number of items and number of unscored ones."""
    found: dict[str, Any] = {}
    for key, score in scores.items():
        found[key] = score.value
        if "/" not in key:
            found |= {f"{key}_low": score.low, f"{key}_high": score.high, f"{key}_n": score.n}
            found |= {f"{key}_unscored": score.unscored} if score.unscored else {}
    return _finite(found)


def gain_summary(gains: Mapping[str, Gain | None]) -> dict[str, Any]:
    """Return the gains of a point's result over its base by task, with interval, corrected p value and verdict."""
    found: dict[str, Any] = {}
    for key, gain in gains.items():
        if gain is not None:
            one = gain.estimate
            found |= {f"{key}_gain": one.value, f"{key}_gain_low": one.low, f"{key}_gain_high": one.high}
            found |= {f"{key}_p_corrected": gain.p_corrected}
            found |= {f"{key}_verdict": str(gain.verdict)} if gain.verdict else {}
    return _finite(found)


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not isinstance(value, float) or math.isfinite(value)}
