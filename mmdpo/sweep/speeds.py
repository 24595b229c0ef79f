"""Speeds from measured times, and the prediction of other work from them. Pure functions.

The time of a kind of work is a sum of non-negative costs per unit, such as seconds per step and per batch, plus one
for the first work of its part in a process. They are fitted by non-negative least squares of relative errors. Units
that the times cannot tell apart share the cost, by a weak ridge.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mmdpo.timings import FIRST, MEASUREMENT, ONCE, Timing, is_first

ASSUMED_SPREAD = 0.25  # of a prediction from too few times to see how far it is off
LEAST_SPREAD = 0.05  # times vary from run to run
RIDGE = 1e-4  # of a unit's squared share of the times
FIXED = ("sets", "trainings", "passes", "made", FIRST)  # units of which each work has one, whatever its size
FIXED_RIDGE = 100.0  # times the ridge of the others: a cost that does not grow is assumed only where the times show it
BORROWING = ("train",)  # parts whose kinds differ little enough that one may take the speed of another
CATEGORIES = {
    "train": "training",
    "prepare": "training",
    "reference": "reference pass",
    "answers": "evaluation",
    "samples": "evaluation",
    "judge": "judging",
    "data": "data",
}
"""Names of kinds of work in a prediction, by the part before a slash; all others are start-up."""
START_UP = "start-up"
NAMED_SOURCES = 2  # newest studies that are named as sources of speeds
Owner = TypeVar("Owner")


@dataclass(frozen=True)
class Work:
    """Work to predict.

    Attributes:
        kind: The kind of work.
        amounts: The amounts by unit, as `timings.timed` counts them.
        share: The least share of it that is done: less than 1 after a rung that may prune the point.
    """

    kind: str
    amounts: Mapping[str, float]
    share: float = 1.0

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
        sources: The sources of the times that it was fitted to.
    """

    wall: Mapping[str, float]
    cpu: Mapping[str, float]
    spread: float
    sources: frozenset[str]


@dataclass
class Prediction:
    """Predicted time.

    Attributes:
        wall: Seconds by category.
        cpu: Processor seconds by category.
        error: Weighted relative error of the speeds.
        unknown: Kinds of work whose speed is not known, or units of them, with how often they occur; they are not
            counted.
        borrowed: Kinds of work that took the speed of another kind, which is named.
        sources: The sources of the times behind the speeds.
    """

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    error: float = 0.0
    unknown: Counter[str] = field(default_factory=Counter)
    borrowed: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)


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
    return Speed(wall, cpu, spread, frozenset(timing.source for timing in timings))


def _non_negative(
    units: Sequence[str], rows: Sequence[Sequence[float]], seconds: Sequence[float]
) -> tuple[dict[str, float], float]:
    """Fit seconds per unit, and return them with the relative error of the fit."""
    import numpy as np
    from scipy.optimize import nnls

    times = np.maximum(np.asarray(seconds), 1e-6)
    amounts = np.asarray(rows) / times[:, None]
    weights = np.sqrt([RIDGE * (FIXED_RIDGE if unit in FIXED else 1.0) for unit in units])
    ridge = np.diag(weights * np.linalg.norm(amounts, axis=0))
    costs, _ = nnls(np.vstack([amounts, ridge]), np.concatenate([np.ones(len(times)), np.zeros(len(units))]))
    off = amounts @ costs - 1
    free = len(times) - int(np.linalg.matrix_rank(amounts[:, costs > 0])) if costs.any() else len(times)
    spread = math.sqrt(float((off**2).sum()) / free) if free > 0 else ASSUMED_SPREAD
    return dict(zip(units, costs.tolist(), strict=True)), max(spread, LEAST_SPREAD)


def predict(works: Iterable[Work], speeds: Mapping[str, Speed], least: bool = False) -> Prediction:
    """Predict the time of work.

    Args:
        works: The work; an amount `first` counts the processes whose first work of its part it is.
        speeds: The speeds by kind, from `fit_speeds`.
        least: Whether only the least share of each work is done.

    Returns:
        The prediction.
    """
    result, errors = Prediction(), 0.0
    for work in works:
        kind = work.kind if work.kind in speeds else relative_of(work.kind, speeds)
        if kind is None:
            result.unknown[work.kind] += 1
            continue
        speed, spread = speeds[kind], speeds[kind].spread
        known = {FIRST, *speed.wall}
        result.unknown.update(
            f"{work.kind} ({unit})" for unit, count in work.amounts.items() if count and unit not in known
        )
        if kind != work.kind:
            result.borrowed[work.kind] = kind
            spread = max(spread, ASSUMED_SPREAD)
        wall, cpu = (
            (work.share if least else 1.0) * sum(costs.get(unit, 0.0) * amount for unit, amount in work.amounts.items())
            for costs in (speed.wall, speed.cpu)
        )
        result.wall[work.category] = result.wall.get(work.category, 0.0) + wall
        result.cpu[work.category] = result.cpu.get(work.category, 0.0) + cpu
        errors += wall * spread
        result.sources += sorted(speed.sources - {*result.sources})
    total = sum(result.wall.values())
    result.error = errors / total if total else 0.0
    return result


def relative_of(kind: str, speeds: Iterable[str]) -> str | None:
    """Return the known kind of work that is most like one whose speed is not known; None if none is like it.

    Args:
        kind: The kind whose speed is not known.
        speeds: The kinds whose speeds are known.
    """
    words = kind.split("/")
    alike = [known for known in sorted(speeds) if known.split("/")[0] == words[0]] if words[0] in BORROWING else []
    return max(alike, key=lambda known: _common_words(known.split("/"), words), default=None)


def _common_words(one: Sequence[str], other: Sequence[str]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def of_one_process(parts: Iterable[tuple[Owner, Work]]) -> Iterator[tuple[Owner, Work]]:
    """Yield the work of a process as it does it: some once, and the first of each part marked with `first`.

    Args:
        parts: The work, in its order, each with whose it is.
    """
    seen: set[str] = set()
    done: set[str] = set()
    for owner, work in parts:
        if work.kind in ONCE and work.kind in done:
            continue
        done.add(work.kind)
        yield owner, replace(work, amounts={**work.amounts, FIRST: float(is_first(work.kind, seen))})


def newest_first(timings: Iterable[Sequence[Timing]]) -> list[str]:
    """Return the sources of times, each once.

    Args:
        timings: The times of each file, oldest first. Those of an earlier file count as newer.
    """
    return list(dict.fromkeys(timing.source for of_file in timings for timing in reversed(of_file)))


def source_text(sources: Sequence[str]) -> str:
    """Describe where speeds come from, such as "a measurement and earlier points of study nano".

    Args:
        sources: The sources, newest first.
    """
    studies = [source for source in sources if source != MEASUREMENT]
    named, more = studies[:NAMED_SOURCES], len(studies) - NAMED_SOURCES
    names = f"{', '.join(named)} and {more} more" if more > 0 else " and ".join(named)
    found = [MEASUREMENT] if MEASUREMENT in sources else []
    found += [f"earlier points of {'study' if len(studies) == 1 else 'studies'} {names}"] if studies else []
    return " and ".join(found)
