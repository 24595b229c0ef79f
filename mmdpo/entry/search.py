"""The sweeper that searches: what it needs on the command line, and its best points.

A search looks for the best score on the dev split, so that the test split stays unseen.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmdpo.config.presets import own_directory
from mmdpo.errors import UserError

SWEEPER, LAUNCHER = "hydra/sweeper", "hydra/launcher"
DIRECTION, SPLIT = "hydra.sweeper.direction", "bench.split"
SEARCHING = {"optuna": "optuna"}
"""Sweepers that search, by the package that each needs."""

OF_SEARCH = (
    *(f"hydra/sweeper/{group}=" for group in ("sampler", "pruner")),
    *(f"hydra.sweeper.{name}" for name in ("sampler", "pruner", "n_trials", "n_jobs", "direction", "storage", "rungs")),
)
"""Beginnings of overrides that only a search has."""

OF_COMMAND = ("study", "objective", "search")
"""Keys that say how a command searches and where it writes; a point is the same without them."""

PLACES = {"joblib": "cluster=local_parallel", "submitit_local": "cluster=local_parallel"}
"""Launchers of other projects that run points at once, and what mmdpo has in their place; others are cluster=slurm."""


@dataclass(frozen=True)
class Tried:
    """A finished point of a search: its name, its overrides, and its score for each objective."""

    name: str
    overrides: tuple[str, ...]
    scores: tuple[float, ...]


def check_plugins(overrides: Sequence[str]) -> None:
    """Raise UserError for a launcher or sweeper of Hydra that cannot be used, with what to type."""
    launcher, sweeper = _value(overrides, LAUNCHER, "mmdpo"), _value(overrides, SWEEPER, "mmdpo")
    if launcher == "basic":
        raise UserError("hydra/launcher=basic: would run each point as if it were alone; drop it")
    if launcher != "mmdpo":
        place = PLACES.get(launcher, "cluster=slurm")
        raise UserError(f"hydra/launcher={launcher}: `cluster` chooses where points run; type {place} in its place")
    if sweeper == "basic":
        raise UserError("hydra/sweeper=basic: mmdpo's own sweeper takes the same sweeps; drop it")
    if sweeper not in ("mmdpo", *SEARCHING):
        raise UserError(
            f"hydra/sweeper={sweeper}: allowed are mmdpo and optuna; type hydra/sweeper=optuna for a search"
        )
    if sweeper == "mmdpo" and typed_value(overrides, "sweep") is None:
        for text in overrides:
            if text.startswith(OF_SEARCH):
                raise UserError(f"{text}: is a setting of a search; add hydra/sweeper=optuna")
    if sweeper in SEARCHING and importlib.util.find_spec(SEARCHING[sweeper]) is None:
        raise UserError(f"hydra/sweeper={sweeper}: is not installed; run pip install -e '.[{sweeper}]'")


def is_search(overrides: Sequence[str]) -> bool:
    """Return whether a command without -m asks for a search; a file of sweeps may set the mode itself."""
    sets_mode = any(typed_value(overrides, key) is not None for key in ("hydra.mode", "sweep"))
    return _value(overrides, SWEEPER, "") in SEARCHING and not sets_mode


def search_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that a search adds to those that were typed: the dev split."""
    searches = _value(overrides, SWEEPER, "") in SEARCHING
    return [f"{SPLIT}=dev"] if searches and typed_value(overrides, SPLIT) is None else []


def direction(objective: str) -> str:
    """Return `maximize` for a score of which more is better, else `minimize`."""
    from mmdpo.analysis.labels import sign

    return "maximize" if sign(objective) > 0 else "minimize"


def directions(objectives: Sequence[str], given: object = None) -> list[str]:
    """Return the direction of each objective.

    Args:
        objectives: The scores that are searched.
        given: The value of `hydra.sweeper.direction`: one direction, a list of them, or None.

    Raises:
        UserError: A direction would search the worst value of an objective, or there are not as many.
    """
    wanted = [direction(one) for one in objectives]
    found = [given] if isinstance(given, str) else [*given] if isinstance(given, Sequence) else wanted
    if [str(one).lower() for one in found] != wanted:
        typed = f"[{','.join(map(str, found))}]" if len(found) > 1 else str(found[0] if found else "[]")
        right = f"[{','.join(wanted)}]" if len(wanted) > 1 else wanted[0]
        raise UserError(
            f"{DIRECTION}={typed}: would search the worst {', '.join(objectives)} score; type {DIRECTION}={right}, or "
            "drop it"
        )
    return wanted


def check_split(split: str, overrides: Sequence[str]) -> None:
    """Raise UserError if a search would choose by the test split without having been asked to."""
    if split == "test" and typed_value(overrides, SPLIT) is None:
        raise UserError(
            f"a search chooses by the scores of {SPLIT}=test, which are then no test any more; type {SPLIT}=dev, or "
            f"{SPLIT}=test to choose by them anyway"
        )


def best_lines(tried: Sequence[Tried], objectives: Sequence[str], study: str) -> Iterator[str]:
    """Yield the best point of a search, or those that no other point exceeds, with the command for the test split.

    Args:
        tried: The finished points.
        objectives: The scores that were searched.
        study: The name of the study.
    """
    if not tried:
        return
    factors = [1 if one == "maximize" else -1 for one in map(direction, objectives)]
    front = pareto_front([[factor * score for factor, score in zip(factors, one.scores, strict=True)] for one in tried])
    if len(objectives) == 1:
        front = front[:1]
    else:
        yield f"Pareto front in {' and '.join(objectives)}: {len(front)} of {len(tried)} points"
    for one in (tried[index] for index in front):
        split = _value(one.overrides, SPLIT, "test")
        scores = ", ".join(f"{name} {score:.4g}" for name, score in zip(objectives, one.scores, strict=True))
        start = f"best of {len(tried)} points: " if len(objectives) == 1 else ""
        yield f"{start}{one.name}: {scores} ({SPLIT}={split})"
        if split == "dev":
            yield f"measure it on the test split: {command_on_test(one.overrides, study)}"


def pareto_front(scores: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points that no other point exceeds, the best in the first score first.

    A point exceeds another if it is as good in every score and better in one. Of equal points the first counts.

    Args:
        scores: The scores of each point, of which more is better.
    """

    def exceeds(one: int, other: int) -> bool:
        at_least = all(a >= b for a, b in zip(scores[one], scores[other], strict=True))
        return at_least and (any(a > b for a, b in zip(scores[one], scores[other], strict=True)) or one < other)

    indices = range(len(scores))
    front = [index for index in indices if not any(exceeds(other, index) for other in indices if other != index)]
    return sorted(front, key=lambda index: [-score for score in scores[index]])


def command_on_test(overrides: Sequence[str], study: str, seeds: Sequence[int] = ()) -> str:
    """Return the command that measures a point of a search on the test split.

    Args:
        overrides: The overrides of the point.
        study: The name of the study that searched.
        seeds: The seeds to measure, if the overrides have none.
    """
    directory = own_directory()
    own = ["--config-dir", str(directory)] if directory else []
    several = ["-m"] if len(seeds) > 1 else []
    keys = [text.partition("=")[0] for text in overrides]
    kept = [
        text
        for key, text in zip(keys, overrides, strict=True)
        if key != SPLIT and key.partition(".")[0] not in OF_COMMAND
    ]
    typed = [f"seed={','.join(map(str, seeds))}"] if seeds else []
    return shlex.join(["python", "launch.py", *own, *several, *kept, *typed, f"study={study}-test", f"{SPLIT}=test"])


def typed_value(overrides: Sequence[str], key: str) -> str | None:
    """Return the value of the last override of a key, or None."""
    found = [text.partition("=")[2] for text in overrides if text.partition("=")[0].lstrip("+") == key]
    return found[-1].strip("'\"") if found else None


def _value(overrides: Sequence[str], key: str, default: str) -> str:
    return typed_value(overrides, key) or default
