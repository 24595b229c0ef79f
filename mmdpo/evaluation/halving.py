"""Successive halving: which results of a rung are pruned, and what that is expected to cost.

The scores of a rung are noisy, and its ranking is not that of the end. So the cost of pruning is estimated before
anything is pruned: the best score at the end among all results, minus that among the results that are kept. The model
is normal. The results' true scores at the rung differ with a variance that is what is left of the variance of their
measured scores without the noise of the items, which comes from paired differences. The true scores at the end have a
correlation with those at the rung that is assumed, and spread further by a factor that is assumed.

As noise can hide differences, the expected loss is also computed with the upper limit of that variance, and the larger
loss counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from mmdpo.seeds import hashed_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTILE = 0.8416
"""The quantile of the normal distribution of the upper limit of the variance between results, of level 0.8."""
LEAST_RELIABILITY = 0.5
"""The share of the variance between measured scores that must be real before some of the results are pruned."""
GRID = 2001  # points of the numerical integral
REACH = 8.0  # standard deviations that the integral covers at each end


@dataclass(frozen=True)
class RungResult:
    """A result at a rung.

    Attributes:
        name: Its name.
        score: The mean of its points' scores, with the sign that makes a larger one better.
        protected: Whether it is never pruned.
        ruined: Whether its training lowers many of the chosen answers.
        kept: The decision that was made before; None for a new result.
    """

    name: str
    score: float
    protected: bool = False
    ruined: bool = False
    kept: bool | None = None


@dataclass(frozen=True)
class Forecast:
    """The assumptions about the time between a rung and the end.

    Attributes:
        correlation: The correlation of the results' true scores at the rung and at the end.
        growth: The factor by which the spread of the true scores grows.
    """

    correlation: float
    growth: float


@dataclass(frozen=True)
class Pruning:
    """The decision at a rung.

    Attributes:
        kept: The names of the results that are trained further, best first.
        pruned: The names of the results that are pruned now, with the reasons.
        loss: The expected loss of these prunings, in units of the score.
        full_loss: The expected loss if as many were pruned as was asked for.
        spread: The standard deviation of the results' true scores at the rung; NaN if it cannot be estimated.
        noise: The standard deviation of the noise of a measured score in comparisons.
        reliability: The share of the variance between measured scores that is real; NaN if it cannot be estimated.
        refused: Why less was pruned than was asked for; None if it was not.
    """

    kept: tuple[str, ...]
    pruned: tuple[tuple[str, str], ...]
    loss: float = 0.0
    full_loss: float = 0.0
    spread: float = math.nan
    noise: float = math.nan
    reliability: float = math.nan
    refused: str | None = None


def prune(
    results: Sequence[RungResult], noise_variance: float, keep: float, max_loss: float, forecast: Forecast
) -> Pruning:
    """Decide which results of a rung are pruned.

    As many are pruned as `keep` asks for if the expected loss is at most `max_loss`. Else the largest number that stays
    below it is pruned, provided that the ranking is reliable, and else nothing. Decisions that were made before stand.

    Args:
        results: The results with a score at the rung.
        noise_variance: Half of the mean squared standard error of a difference between two results; NaN if unknown.
        keep: The share of the results that is kept, rounded up.
        max_loss: The largest expected loss, in units of the score.
        forecast: The assumptions about the time between the rung and the end.
    """
    ranked = sorted(results, key=lambda one: (-one.score, hashed_number(one.name)))  # equal ones in a seeded order
    ruined = _ruined(ranked)
    sound = [one for one in ranked if one.name not in ruined and one.kept is not False]
    room = max(1, math.ceil(round(keep * len(results), 6)))
    wanted = [one.name for one in sound[room:] if _is_open(one)]
    spread, upper = _spread([one.score for one in ranked if one.name not in ruined], noise_variance)
    total = spread**2 + noise_variance
    reliability = spread**2 / total if total > 0 else math.nan

    def loss(count: int) -> float:
        pruned = set(wanted[len(wanted) - count :])
        sizes = (spread, upper) if pruned else ()
        return max((_expected_loss(sound, pruned, size, noise_variance, forecast) for size in sizes), default=0.0)

    count, full, refused = len(wanted), loss(len(wanted)), None
    if wanted and not full <= max_loss:  # also where it is unknown
        can_rank = reliability >= LEAST_RELIABILITY
        count = next((fewer for fewer in range(count - 1, 0, -1) if loss(fewer) <= max_loss), 0) if can_rank else 0
        refused = _refusal(count, len(wanted), full, max_loss, reliability, noise_variance)
    pruned = {name: _behind(ranked, name, room) for name in wanted[len(wanted) - count :]} | ruined
    gone = {*pruned, *(one.name for one in ranked if one.kept is False)}
    return Pruning(
        kept=tuple(one.name for one in ranked if one.name not in gone),
        pruned=tuple((one.name, pruned[one.name]) for one in ranked if one.name in pruned),
        loss=loss(count),
        full_loss=full,
        spread=spread,
        noise=math.sqrt(noise_variance),
        reliability=reliability,
        refused=refused,
    )


def _is_open(one: RungResult) -> bool:
    return one.kept is None and not one.protected


def _ruined(ranked: Sequence[RungResult]) -> dict[str, str]:
    """Return the new results that are ruined, with the reason: their score must not speak against it.

    Where the training of all results lowers the chosen answers, it tells nothing.
    """
    sound = [one.score for one in ranked if not one.ruined]
    if not sound:
        return {}
    middle = median(sound)
    found = [one.name for one in ranked if one.ruined and _is_open(one) and one.score <= middle]
    reason = (
        "its training lowers many chosen answers (search.max_below_reference), and its score is not above the median"
    )
    return dict.fromkeys(found, reason)


def _behind(ranked: Sequence[RungResult], name: str, room: int) -> str:
    place = next(place for place, one in enumerate(ranked, 1) if one.name == name)
    return f"place {place} of {len(ranked)}, of which {room} are kept"


def _refusal(count: int, wanted: int, full: float, max_loss: float, reliability: float, noise_variance: float) -> str:
    """Say why fewer results than wanted are pruned."""
    cost = f"pruning {wanted} would lose {full:.2g} of the best score, more than {max_loss:.2g} (search.max_loss)"
    if math.isnan(full):
        alike = math.isnan(reliability) and noise_variance == 0
        return f"nothing is pruned: {'all results answer alike so far' if alike else 'the noise of scores is unknown'}"
    if count:
        return f"only {count} of {wanted} are pruned: {cost}"
    if math.isnan(reliability) or reliability < LEAST_RELIABILITY:
        real = "none" if math.isnan(reliability) else f"{100 * reliability:.0f} %"
        return f"nothing is pruned: {real} of the variance between the scores is more than noise, and {cost}"
    return f"nothing is pruned: {cost}"


def _spread(scores: Sequence[float], noise_variance: float) -> tuple[float, float]:
    """Estimate the standard deviation of these results' true scores, and its upper limit; 0 for a single score.

    The sum of squares of measured scores is noncentral chi-square: its noncentrality is the true sum of squares. The
    limit takes it as normal.
    """
    degrees = len(scores) - 1
    if degrees < 1:
        return 0.0, 0.0
    mean = sum(scores) / len(scores)
    real = max(0.0, sum((score - mean) ** 2 for score in scores) - degrees * noise_variance)
    error = math.sqrt(2 * degrees * noise_variance**2 + 4 * real * noise_variance)
    return math.sqrt(real / degrees), math.sqrt((real + QUANTILE * error) / degrees)


def _expected_loss(
    results: Sequence[RungResult], pruned: set[str], spread: float, noise_variance: float, forecast: Forecast
) -> float:
    """Return the expected best score at the end of all results minus that of those that are not pruned.

    Args:
        results: The results that are still trained.
        pruned: The names of those that would be pruned.
        spread: The standard deviation of the true scores at the rung.
        noise_variance: The variance of the noise of a score.
        forecast: The assumptions about the time until the end.
    """
    import numpy as np

    if not math.isfinite(spread) or math.isnan(noise_variance) or not spread + noise_variance > 0:
        return math.nan
    scores = np.array([one.score for one in results])
    real = spread**2 / (spread**2 + noise_variance)
    scale = forecast.growth * spread
    means = scale * forecast.correlation * math.sqrt(real) * _standardized(scores, spread, noise_variance)
    deviation = scale * math.sqrt(1 - forecast.correlation**2 * real)
    stays = np.array([one.name not in pruned for one in results])
    return max(0.0, _expected_maximum(means, deviation) - _expected_maximum(means[stays], deviation))


def _standardized(scores: NDArray[Any], spread: float, noise_variance: float) -> NDArray[Any]:
    return (scores - scores.mean()) / math.sqrt(spread**2 + noise_variance)


def _expected_maximum(means: NDArray[Any], deviation: float) -> float:
    """Return the expected maximum of independent normal variables of one standard deviation, by its integral."""
    import numpy as np
    from scipy.special import ndtr

    if deviation == 0:
        return float(means.max())
    low, high = float(means.min()) - REACH * deviation, float(means.max()) + REACH * deviation
    grid = np.linspace(low, high, GRID)
    below = ndtr((grid[:, None] - means) / deviation).prod(axis=1)
    return high - float(np.trapezoid(below, grid))
