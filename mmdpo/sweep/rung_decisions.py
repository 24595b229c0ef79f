"""Decisions at a rung: the results of a command's points, their scores and noise, and what is pruned.

A result is a set of points that differ only in their seed. Results are pruned, and never single seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import yaml

from mmdpo.analysis.labels import metric_of, sign
from mmdpo.analysis.measured import Measured, estimate_gain, measure
from mmdpo.config.search_settings import SearchConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.evaluation.halving import Forecast, RungResult, prune
from mmdpo.files import fingerprint
from mmdpo.points import status
from mmdpo.points.identity import Role, flatten, plain
from mmdpo.points.naming import without_seed
from mmdpo.points.point import Point
from mmdpo.points.rungs import RungScore, read_rung, rung_folder
from mmdpo.points.search_record import (
    DecidedResult,
    Decision,
    SearchRecord,
    deciding,
    read_search,
    reason_text,
    write_decisions,
)
from mmdpo.sweep.rung_correlation import correlation_with_end

CONFIDENCE = 0.95
"""Of intervals that are not used; only their standard errors are."""


@dataclass(frozen=True)
class Result:
    """Points of a command that differ only in their seed, in the order of their seeds."""

    name: str
    points: tuple[Point, ...]


def results_of(points: Sequence[Point]) -> list[Result]:
    """Join the trained points of a command to results."""
    found: dict[str, list[Point]] = {}
    for p in points:
        if p.role is Role.trained:
            own = p.identity
            settings = {key: value for key, value in own.settings.items() if key != "seed"}
            key = fingerprint([settings, {name: one.fingerprint for name, one in own.contents.items()}])
            found.setdefault(key, []).append(p)
    return [
        Result(without_seed(one[0].name.rpartition("-")[0], one[0].config.seed), tuple(sorted(one, key=_seed)))
        for one in found.values()
    ]


def _seed(p: Point) -> int:
    return p.config.seed


def decide_rung(points: Sequence[Point], share: float) -> Decision | None:
    """Decide which of a command's results are pruned at a rung, and note it in search.json and in their status.

    Results that were decided before keep their fate, and take part in the ranking of new ones. A result is left out
    until all of its points have a score at the rung.

    Args:
        points: All points of the command, of one study; those that an earlier rung pruned are left out.
        share: The rung.

    Returns:
        The decision; None if there is no new result.

    Raises:
        UserError: search.json is damaged, or was decided by another score.
    """
    study, config = points[0].study, points[0].config
    with deciding(study):
        record = read_search(study)
        check_objective(record, config.objective, study)
        decided = record.at(share)
        scored = {
            one.name: scores
            for one in results_of(points)
            if (scores := _scores(one, share, config.objective)) is not None and not _pruned_before(one, record, share)
        }
        results = [one for one in results_of(points) if one.name in scored]
        new = [one for one in results if one.points[0].name not in decided]
        if not new:
            _mark(points, record)
            return None
        decision = _decide(results, scored, decided, share, config.search, config.objective)
        record = SearchRecord((*record.decisions, decision))
        write_decisions(study, record.decisions)
        _mark(points, record)
    for line in decision_lines(decision):
        print_line(line)
    return decision


def check_objective(record: SearchRecord, objective: str, study: Path) -> None:
    """Raise UserError if the decisions of a study were made by another score."""
    for decision in record.decisions:
        if decision.objective != objective:
            raise UserError(
                f"objective={objective}: {study / 'search.json'} was decided by {decision.objective}; type "
                f"objective={decision.objective}, or study=NAME for a study of its own"
            )


def _scores(one: Result, share: float, objective: str) -> list[RungScore] | None:
    """Return the scores of a result's points at a rung; None unless all have one."""
    found = [read_rung(p.folder, share) for p in one.points]
    known = [score for score in found if score is not None and score.value(objective) is not None]
    return known if len(known) == len(one.points) else None


def _pruned_before(one: Result, record: SearchRecord, share: float) -> bool:
    return any(decision.share < share for p in one.points if (decision := record.pruned().get(p.name, (None,))[0]))


def _decide(
    results: Sequence[Result],
    scored: dict[str, list[RungScore]],
    decided: dict[str, DecidedResult],
    share: float,
    search: SearchConfig,
    objective: str,
) -> Decision:
    direction, scale = sign(objective), scale_of(objective)
    means = {
        name: sum(score.value(objective) or 0.0 for score in scores) / len(scores) for name, scores in scored.items()
    }
    below = {name: _largest(score.below_reference for score in scores) for name, scores in scored.items()}
    protected = {one.name: protection(one, search) for one in results}
    ranked = [
        RungResult(
            one.name,
            direction * means[one.name],
            protected=bool(protected[one.name]),
            ruined=(below[one.name] or 0.0) >= search.max_below_reference,
            kept=decided[one.points[0].name].kept if one.points[0].name in decided else None,
        )
        for one in results
    ]
    noise = noise_variance(results, share, objective)
    correlation = correlation_with_end(results[0].points[0], share, search, objective)
    forecast = Forecast(correlation.value, 1 / math.sqrt(share))
    found = prune(ranked, noise, search.keep, search.max_loss * scale, forecast)
    pruned = dict(found.pruned)
    new = [one for one in results if one.points[0].name not in decided]
    order = sorted(new, key=lambda one: -direction * means[one.name])
    return Decision(
        share=share,
        objective=objective,
        keep=search.keep,
        results=tuple(
            DecidedResult(
                one.name,
                tuple(p.name for p in one.points),
                means[one.name],
                kept=one.name not in pruned,
                reason=pruned.get(one.name) or protected[one.name],
                below_reference=below[one.name],
            )
            for one in order
        ),
        expected_loss=_known(found.loss),
        reliability=_known(found.reliability),
        refused=found.refused,
        correlation=round(correlation.value, 6),
        correlation_from=correlation.origin,
    )


def scale_of(objective: str) -> float:
    """Return the width of a score's scale. Raises UserError for a score without limits."""
    metric = metric_of(objective)
    if metric is None or metric.scale is None:
        raise UserError(f"objective={objective}: has no scale to measure search.max_loss by; type a benchmark's name")
    return metric.scale[1] - metric.scale[0]


def noise_variance(results: Sequence[Result], share: float, objective: str) -> float:
    """Return half of the mean squared standard error of the paired differences between results; NaN if unknown.

    Args:
        results: The results, all measured at the rung.
        share: The rung.
        objective: The name of the score.
    """
    found: list[list[Measured]] = []
    for one in results:
        items = [measure(rung_folder(p.folder, share), objective) for p in one.points]
        found.append([item for item in items if item is not None])
    if not all(found):
        return math.nan
    seeds = [[p.config.seed for p in one.points] for one in results]
    squares = []
    for first, second in combinations(range(len(results)), 2):
        gain = estimate_gain(found[first], found[second], CONFIDENCE, seeds[first] == seeds[second])
        squares.append(gain.error**2 / 2 if gain else math.nan)
    return sum(squares) / len(squares) if squares else math.nan


def protection(one: Result, search: SearchConfig) -> str:
    """Say why a result is never pruned; empty if it may be."""
    named = [word for word in search.keep_points if any(_matches(word, p) for p in one.points)]
    return f"kept in any case: search.keep_points names {named[0]}" if named else ""


def check_keep_points(points: Sequence[Point], search: SearchConfig) -> None:
    """Raise UserError for an entry of `search.keep_points` that names no point."""
    trained = [p for p in points if p.role is Role.trained]
    for word in search.keep_points:
        if not any(_matches(word, p) for p in trained):
            raise UserError(
                f"search.keep_points: {word} names no point of this sweep; type values such as beta=0.1, or a "
                f"point's name such as {trained[0].name if trained else 'NAME'}"
            )


def _matches(word: str, p: Point) -> bool:
    """Return whether an entry names a point, or gives values that it has: `beta=0.1,lr=5e-5`."""
    if "=" not in word:
        return word == p.name
    flat = {**flatten(p.config), "method": p.config.method.name}
    parts = [part.partition("=") for part in word.split(",")]
    return all(key in flat and plain(flat[key]) == plain(_value(text, flat[key])) for key, _, text in parts)


def _value(text: str, like: object) -> object:
    """Read a value as the setting has it; YAML reads 5e-5 as text."""
    if isinstance(like, float):
        try:
            return float(text)
        except ValueError:
            return text
    return yaml.safe_load(text) if not isinstance(like, str) else text


def _mark(points: Sequence[Point], record: SearchRecord) -> None:
    """Note in the status of pruned points that they are; a finished point stays finished."""
    pruned = record.pruned()
    for p in points:
        if p.name in pruned and status.read_status(p.folder).state is not status.State.running:
            status.prune(p.folder, reason_text(*pruned[p.name]))


def decision_lines(decision: Decision) -> Iterator[str]:
    """Describe a decision: what is kept, what is pruned and why, and what that may cost."""
    gone = [one for one in decision.results if not one.kept]
    cost = f"; {text}" if (text := decision.cost_text()) else ""
    real = "" if decision.reliability is None else f"; {100 * decision.reliability:.0f} % of the variance is real"
    yield (
        f"rung {decision.share:g}: {len(decision.results) - len(gone)} of {len(decision.results)} results are kept"
        f"{cost}{real}"
    )
    if decision.refused:
        yield f"rung {decision.share:g}: {decision.refused}"
    for one in gone:
        yield f"pruned  {one.name}: {reason_text(decision, one)}"


def _largest(values: Iterator[float | None] | Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _known(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
