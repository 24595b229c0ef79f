"""Win rates of pairwise comparisons: their metrics, a rate adjusted for length, and alpaca_eval's own columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdpo.evaluation.length_controlled import length_controlled
from mmdpo.evaluation.scorers import WORDS
from mmdpo.evaluation.task import Judgment, Metric

LOSS, DRAW, WIN = 1.0, 1.5, 2.0
"""alpaca_eval's preferences; weighted ones lie between."""
RIDGE = 1e-3
"""Penalty on the squares of both coefficients, in units of one item; it keeps rates of 0 and 100 finite."""
STEPS = 50
LARGEST_STEP = 2.0  # of a coefficient, so that Newton's method does not overshoot


def standard_error(score: Any, axis: int = -1) -> Any:
    """Compute the standard error of a mean over arrays [..., N]; NaN for a single item."""
    import numpy as np

    values = np.asarray(score, dtype=float)
    count = values.shape[axis]
    if count < 2:
        return np.full_like(values.sum(axis), np.nan)
    return values.std(axis, ddof=1) / np.sqrt(count)


def count(flags: Any, axis: int = -1) -> Any:
    """Count ones over arrays [..., N]."""
    import numpy as np

    return np.sum(flags, axis=axis)


def length_adjusted(score: Any, longer_by: Any, axis: int = -1) -> Any:
    """Estimate the win rate at equal lengths by a logistic regression on the difference in length.

    The covariate is tanh of the difference divided by its standard deviation. It is alpaca_eval's idea without the
    difficulties of instructions and the gamed baselines, so the number is not its length-controlled win rate.

    Args:
        score: Scores from 0 to 100 [..., N].
        longer_by: By how much the model's answer is longer [..., N].
        axis: The axis of the items.

    Returns:
        The rate from 0 to 100 [...].
    """
    import numpy as np
    from scipy.special import expit

    target = np.moveaxis(np.asarray(score, dtype=float), axis, -1) / 100
    difference = np.moveaxis(np.asarray(longer_by, dtype=float), axis, -1)
    spread = difference.std(-1, keepdims=True)
    length = np.tanh(difference / np.where(spread > 0, spread, 1)) * (spread > 0)
    level, slope = np.zeros(target.shape[:-1]), np.zeros(target.shape[:-1])
    for _ in range(STEPS):  # Newton's method, for all resamples at once
        predicted = expit(level[..., None] + slope[..., None] * length)
        weight, residual = predicted * (1 - predicted), target - predicted
        gradients = residual.sum(-1) - RIDGE * level, (residual * length).sum(-1) - RIDGE * slope
        a, b, c = weight.sum(-1) + RIDGE, (weight * length).sum(-1), (weight * length**2).sum(-1) + RIDGE
        determinant = a * c - b**2
        steps = (
            np.clip((c * gradients[0] - b * gradients[1]) / determinant, -LARGEST_STEP, LARGEST_STEP),
            np.clip((a * gradients[1] - b * gradients[0]) / determinant, -LARGEST_STEP, LARGEST_STEP),
        )
        level, slope = level + steps[0], slope + steps[1]
        if max(np.abs(steps[0]).max(), np.abs(steps[1]).max()) < 1e-10:
            break
    return 100 * expit(level)


METRICS = (
    Metric("win_rate", ("score",), label="win rate", scale=(0, 100)),
    Metric("length_adjusted", ("score", "longer_by"), length_adjusted, "win rate at equal length", (0, 100)),
    Metric("standard_error", ("score",), standard_error, "standard error", higher_is_better=None),
    Metric("wins", ("win",), count),
    Metric("losses", ("loss",), count, higher_is_better=False),
    Metric("draws", ("draw",), count, higher_is_better=None),
    Metric("characters", ("characters",), label="answer length (characters)", higher_is_better=None),
    WORDS,
)
"""The metrics of AlpacaEval; the main one is `win_rate`."""


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute the columns of alpaca_eval's leaderboard; missing preferences are dropped.

    `length_controlled` is among them if the items hold the values of df_gamed.csv.
    """
    values = [value for one in judgments for name, value in one.upstream.items() if name.startswith("preference_")]
    if not values:
        return {}
    import numpy as np

    preferences = np.array(values)
    preferences[preferences == 0] = DRAW  # an old spelling of draws
    wins = preferences - 1
    lengths = [one.upstream["characters"] for one in judgments if "characters" in one.upstream]
    error = {"standard_error": 100 * float(standard_error(wins))} if len(wins) > 1 else {}
    controlled = length_controlled(judgments)
    return {
        "": 100 * float(wins.mean()),
        **error,
        "wins": float((preferences > DRAW).sum()),
        "wins_base": float((preferences < DRAW).sum()),
        "draws": float((preferences == DRAW).sum()),
        "n_total": float(len(preferences)),
        "avg_length": float(int(np.mean(lengths))),
        **({} if controlled is None else {"length_controlled": controlled}),
    }
