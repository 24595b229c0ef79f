"""Speeds from measured times, and the prediction of other work from them. Pure functions.

The time of a kind of work is a sum of non-negative costs per unit, such as seconds per step and per batch, plus one
for the first work of the kind in a process. They are fitted by non-negative least squares of relative errors.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mmdpo.timings import FIRST, MEASUREMENT, Timing

ASSUMED_SPREAD = 0.25  # of a prediction from too few times to see how far it is off
LEAST_SPREAD = 0.05  # times vary from run to run
CATEGORIES = {
    "train": "training",
    "reference": "reference pass",
    "answers": "evaluation",
    "judge": "judging",
    "data": "data",
}
"""Names of kinds of work in a prediction, by the part before a slash; all others are start-up."""
START_UP = "start-up"


@dataclass(frozen=True)
class Work:
    """Work to predict: amounts by unit, as `timings.timed` counts them."""

    kind: str
    amounts: Mapping[str, float]

    @property
    def category(self) -> str:
        """The name of its part of the hours."""
        return CATEGORIES.get(self.kind.partition("/")[0], START_UP)


@dataclass(frozen=True)
class Speed:
    """The speed of one kind of work.

    Attributes:
        wall: Seconds per unit.
        cpu: Processor seconds per unit.
        spread: Relative error of the fit.
        sources: Numbers of the times that it was fitted to, by source.
    """

    wall: Mapping[str, float]
    cpu: Mapping[str, float]
    spread: float
    sources: Mapping[str, int]


@dataclass
class Prediction:
    """Predicted time.

    Attributes:
        wall: Seconds by category.
        cpu: Processor seconds by category.
        error: Weighted relative error of the speeds.
        unknown: Kinds of work whose speed is not known, with how often they occur; they are not counted.
        sources: Numbers of times behind the speeds, by source.
    """

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    error: float = 0.0
    unknown: Counter[str] = field(default_factory=Counter)
    sources: dict[str, int] = field(default_factory=dict)


def fit_speeds(timings: Iterable[Timing]) -> dict[str, Speed]:
    """Fit the speed of each kind of work."""
    kinds: dict[str, list[Timing]] = {}
    for timing in timings:
        if timing.seconds > 0 and any(timing.amounts.values()):
            kinds.setdefault(timing.kind, []).append(timing)
    return {kind: _fit(found) for kind, found in kinds.items()}


def _fit(timings: Sequence[Timing]) -> Speed:
    units = sorted({unit for timing in timings for unit, amount in timing.amounts.items() if amount})
    rows = [[timing.amounts.get(unit, 0.0) for unit in units] for timing in timings]
    wall, spread = _non_negative(units, rows, [timing.seconds for timing in timings])
    cpu, _ = _non_negative(units, rows, [timing.cpu_seconds for timing in timings])
    return Speed(wall, cpu, spread, Counter(timing.source for timing in timings))


def _non_negative(
    units: Sequence[str], rows: Sequence[Sequence[float]], seconds: Sequence[float]
) -> tuple[dict[str, float], float]:
    """Fit seconds per unit, and return them with the relative error of the fit."""
    import numpy as np
    from scipy.optimize import nnls

    times = np.maximum(np.asarray(seconds), 1e-6)
    amounts = np.asarray(rows) / times[:, None]
    costs, _ = nnls(amounts, np.ones(len(times)))
    off = amounts @ costs - 1
    free = len(times) - int(np.count_nonzero(costs))
    spread = math.sqrt(float((off**2).sum()) / free) if free > 0 else ASSUMED_SPREAD
    return dict(zip(units, costs.tolist(), strict=True)), max(spread, LEAST_SPREAD)


def predict(works: Iterable[Work], speeds: Mapping[str, Speed]) -> Prediction:
    """Predict the time of work.

    Args:
        works: The work; an amount `first` counts the processes whose first work of the kind it is.
        speeds: The speeds by kind, from `fit_speeds`.

    Returns:
        The prediction.
    """
    result, errors = Prediction(), 0.0
    for work in works:
        speed = speeds.get(work.kind)
        if speed is None:
            result.unknown[work.kind] += 1
            continue
        wall, cpu = (
            sum(costs.get(unit, 0.0) * amount for unit, amount in work.amounts.items())
            for costs in (speed.wall, speed.cpu)
        )
        result.wall[work.category] = result.wall.get(work.category, 0.0) + wall
        result.cpu[work.category] = result.cpu.get(work.category, 0.0) + cpu
        errors += wall * speed.spread
        for source, count in speed.sources.items():
            result.sources[source] = max(result.sources.get(source, 0), count)
    total = sum(result.wall.values())
    result.error = errors / total if total else 0.0
    return result


def with_first(groups: Iterable[Sequence[Work]]) -> list[Work]:
    """Mark the first work of each kind in each process.

    Args:
        groups: The work of each process, in its order.

    Returns:
        All work, with the amount `first`.
    """
    result = []
    for group in groups:
        seen: set[str] = set()
        for work in group:
            result.append(Work(work.kind, {**work.amounts, FIRST: float(work.kind not in seen)}))
            seen.add(work.kind)
    return result


def source_text(sources: Mapping[str, int]) -> str:
    """Describe where speeds come from, such as "a measurement and earlier points of study nano"."""
    ordered = sorted(sources, key=lambda source: (source != MEASUREMENT, source))
    return " and ".join(one if one == MEASUREMENT else f"earlier points of study {one}" for one in ordered)
