"""search.json of a study: the decisions at its rungs. Each is made once, and later commands keep to it.

The file holds no times and no paths, so that the same study has the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmdpo.errors import UserError
from mmdpo.files import Unreadable, read_json, write_json

FILE = "search.json"
LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class DecidedResult:
    """A result at a rung: points that differ only in their seed.

    Attributes:
        name: The name of the result.
        points: The names of its points.
        score: The mean of their scores on the dev split.
        kept: Whether it is trained further.
        reason: Why it was pruned, or why it is kept in any case; empty for one that is kept by its place.
        below_reference: The largest share of chosen answers that lost probability; None where it is not logged.
    """

    name: str
    points: tuple[str, ...]
    score: float
    kept: bool
    reason: str = ""
    below_reference: float | None = None


@dataclass(frozen=True)
class Decision:
    """The decision of one command at one rung.

    Attributes:
        share: The rung, as a share of the optimizer steps.
        objective: The name of the score.
        keep: The share of the results that was to be kept.
        results: The results that were decided, best first; those of earlier decisions are not repeated.
        expected_loss: The expected loss of the best score at the end; None if it is unknown.
        reliability: The share of the variance between scores that is more than noise; None if it is unknown.
        refused: Why less was pruned than was asked for; None if it was not.
        correlation: The correlation of scores at the rung and at the end that the expected loss rests on; None for a
            decision of an earlier version.
        correlation_from: The origin of the correlation: that it is assumed, or the points that it was estimated from.
    """

    share: float
    objective: str
    keep: float
    results: tuple[DecidedResult, ...]
    expected_loss: float | None = None
    reliability: float | None = None
    refused: str | None = None
    correlation: float | None = None
    correlation_from: str = ""

    def cost_text(self) -> str:
        """Say how much of the best score the decision is expected to lose, and what that rests on; empty if unknown."""
        if self.expected_loss is None:
            return ""
        cost = f"expected loss of the best score: {self.expected_loss:.2g}"
        if self.correlation is None:
            return cost
        return f"{cost}, if scores here and at the end correlate by {self.correlation:.2g} ({self.correlation_from})"


@dataclass(frozen=True)
class SearchRecord:
    """All decisions of a study, oldest first."""

    decisions: tuple[Decision, ...] = field(default_factory=tuple)

    def at(self, share: float) -> dict[str, DecidedResult]:
        """Return the decided results of a rung by the names of their points."""
        found = [one for decision in self.decisions if decision.share == share for one in decision.results]
        return {point: one for one in found for point in one.points}

    def pruned(self) -> dict[str, tuple[Decision, DecidedResult]]:
        """Return the pruned points by name, with the decision and their result."""
        return {
            point: (decision, one)
            for decision in self.decisions
            for one in decision.results
            if not one.kept
            for point in one.points
        }


def reason_text(decision: Decision, one: DecidedResult) -> str:
    """Say at which rung a result was pruned, with which score, and why."""
    return f"at rung {decision.share:g} with {decision.objective} {one.score:.4g} on dev: {one.reason}"


def read_search(study: Path) -> SearchRecord:
    """Read the decisions of a study; none if it has none. Raises UserError for a damaged file."""
    path = study / FILE
    if not path.exists():
        return SearchRecord()
    try:
        return SearchRecord(tuple(map(_decision, read_json(path)["decisions"])))
    except (OSError, Unreadable, json.JSONDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}); restore it, or delete it to decide again by the rungs"
        ) from None


def _decision(data: dict[str, Any]) -> Decision:
    results = tuple(DecidedResult(**{**one, "points": tuple(one["points"])}) for one in data["results"])
    return Decision(**{**data, "results": results})


@contextmanager
def deciding(study: Path) -> Iterator[None]:
    """Hold the lock of a study's decisions. Raises UserError if another process holds it for long."""
    study.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(study / f".{FILE}.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise UserError(f"{study / FILE}: another process is deciding; rerun the same command") from None


def write_decisions(study: Path, decisions: Sequence[Decision]) -> None:
    """Write all decisions of a study."""
    write_json(study / FILE, {"decisions": [asdict(one) for one in decisions]})
