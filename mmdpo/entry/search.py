"""Sweepers that search, such as Optuna: what a search needs on the command line, and its best point.

A search looks for the best score on the dev split, so that the test split stays unseen. Hydra's sweepers would
minimize by default, and do not print what they found.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmdpo.config.presets import own_directory
from mmdpo.config.schema import Config
from mmdpo.errors import UserError

SWEEPER, LAUNCHER = "hydra/sweeper", "hydra/launcher"
DIRECTION, SPLIT = "hydra.sweeper.direction", "bench.split"
OBJECTIVE = "text"  # the default of `objective`
PLUGINS = {"optuna": "hydra_plugins.hydra_optuna_sweeper"}
"""Sweepers that search, by the package that has each."""

PLACES = {"joblib": "cluster=local_parallel", "submitit_local": "cluster=local_parallel"}
"""Launchers of other projects that run points at once, and what mmdpo has in their place; others are cluster=slurm."""


@dataclass(frozen=True)
class Trial:
    """A finished point of a search: its name, overrides and score, and what names the search."""

    name: str
    overrides: tuple[str, ...]
    score: float
    study: str
    objective: str


_trials: list[Trial] = []
"""The finished points of this command's search."""


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
    if sweeper in PLUGINS and not _is_installed(PLUGINS[sweeper]):
        raise UserError(f"hydra/sweeper={sweeper}: is not installed; run pip install -e '.[{sweeper}]'")


def is_search(overrides: Sequence[str]) -> bool:
    """Return whether a command without -m asks for a search; a file of sweeps may set the mode itself."""
    sets_mode = any(_typed(overrides, key) is not None for key in ("hydra.mode", "sweep"))
    return _value(overrides, SWEEPER, "") in PLUGINS and not sets_mode


def search_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that a search adds to those that were typed: the direction, and the dev split.

    Raises UserError for a direction that would look for the worst score.
    """
    if _value(overrides, SWEEPER, "") not in PLUGINS:
        return []
    wanted = direction(_value(overrides, "objective", OBJECTIVE))
    check_direction(_value(overrides, DIRECTION, wanted), _value(overrides, "objective", OBJECTIVE))
    added = {DIRECTION: wanted, SPLIT: "dev"}
    return [f"{key}={value}" for key, value in added.items() if _typed(overrides, key) is None]


def direction(objective: str) -> str:
    """Return `maximize` for a score of which more is better, else `minimize`."""
    from mmdpo.analysis.labels import sign

    return "maximize" if sign(objective) > 0 else "minimize"


def check_direction(given: str, objective: str) -> None:
    """Raise UserError if a sweeper would look for the worst value of the objective."""
    wanted = direction(objective)
    if given.lower() != wanted:
        raise UserError(f"{DIRECTION}={given}: would search the worst {objective} score; type {DIRECTION}={wanted}")


def check_split(split: str, overrides: Sequence[str]) -> None:
    """Raise UserError if a search would choose by the test split without having been asked to."""
    if split == "test" and _typed(overrides, SPLIT) is None:
        raise UserError(
            f"a search chooses by the scores of {SPLIT}=test, which are then no test any more; type {SPLIT}=dev, or "
            f"{SPLIT}=test to choose by them anyway"
        )


def checked(configs: Iterable[Config], points: Sequence[Sequence[str]], given: object) -> Iterator[Config]:
    """Yield the configs of a search. Raises UserError if it would look for the worst score, or on the test split.

    Args:
        configs: The config of each point.
        points: The overrides of each point.
        given: The sweeper's direction; None if it has none.
    """
    for config, overrides in zip(configs, points, strict=True):
        if given is not None:
            check_direction(str(given), config.objective)
        check_split(config.bench.split.value, overrides)
        yield config


def note_trial(trial: Trial) -> None:
    """Remember a finished point of the search."""
    _trials.append(trial)


def print_best() -> None:
    """Print the best point of this command's search, if it was one, and the command for the test split."""
    if not _trials:
        return
    from mmdpo.console import print_line

    objective, study = _trials[0].objective, _trials[0].study
    factor = 1 if direction(objective) == "maximize" else -1
    best = max(_trials, key=lambda trial: factor * trial.score)
    split = _value(best.overrides, SPLIT, "test")
    print_line(f"best of {len(_trials)} points: {best.name}: {objective} {best.score:.4g} ({SPLIT}={split})")
    if split == "dev":
        directory = own_directory()
        own = ["--config-dir", str(directory)] if directory else []
        kept = [text for text in best.overrides if text.partition("=")[0] not in (SPLIT, "study")]
        words = ["python", "launch.py", *own, *kept, f"study={study}-test", f"{SPLIT}=test"]
        print_line(f"measure it on the test split: {shlex.join(words)}")


def _typed(overrides: Sequence[str], key: str) -> str | None:
    """Return the value of the last override of a key, or None."""
    found = [text.partition("=")[2] for text in overrides if text.partition("=")[0].lstrip("+") == key]
    return found[-1].strip("'\"") if found else None


def _value(overrides: Sequence[str], key: str, default: str) -> str:
    return _typed(overrides, key) or default


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
