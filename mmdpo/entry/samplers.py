"""Samplers and pruners of a search, by the names of `hydra/sweeper/sampler` and `hydra/sweeper/pruner`.

A sampler is made for each trial, with a seed of the trial's number. So the next trial depends on the trials before it
alone, and a search that is continued is the one that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from mmdpo.errors import UserError

SAMPLER, PRUNER = "hydra.sweeper.sampler", "hydra.sweeper.pruner"
ONE_OBJECTIVE = ("cmaes",)
"""Samplers that search one score."""
PERCENT = 100
"""Resources of a whole training; a rung has its share of them."""


class WholeGridSampler(GridSampler):
    """Optuna's grid, whose end is known from the number of its points."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Do nothing: Optuna's method stops a loop that is not running here."""


SAMPLER_TYPES: Mapping[str, type[BaseSampler]] = {
    "tpe": TPESampler,
    "random": RandomSampler,
    "grid": WholeGridSampler,
    "cmaes": CmaEsSampler,
    "nsgaii": NSGAIISampler,
}


def make_sampler(settings: Mapping[str, Any], number: int, grid: Mapping[str, Sequence[Any]] | None) -> BaseSampler:
    """Return the sampler of a trial.

    Args:
        settings: The settings of `hydra.sweeper.sampler`.
        number: The number of the trial.
        grid: The values of each key; None for samplers other than `grid`.

    Raises:
        UserError: A setting is not one of this sampler, or has a wrong value.
    """
    values = dict(settings)
    name, seed = values.pop("name", None), values.pop("seed", 0)
    if name not in SAMPLER_TYPES:
        raise UserError(
            f"{SAMPLER}.name={name}: allowed are {', '.join(SAMPLER_TYPES)}; type hydra/sweeper/sampler=tpe"
        )
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        shown = "null" if seed is None else seed
        raise UserError(
            f"{SAMPLER}.seed={shown}: must be a whole number, so that the search can be repeated; type {SAMPLER}.seed=0"
        )
    if grid is not None:
        return WholeGridSampler(grid, seed=seed)
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return _made(SAMPLER, SAMPLER_TYPES[str(name)], {**values, "seed": own})


def make_pruner(settings: Mapping[str, Any], rungs: Sequence[float]) -> BasePruner:
    """Return the pruner, whose steps are per cent of a training.

    Args:
        settings: The settings of `hydra.sweeper.pruner`.
        rungs: The shares of a training at which it decides.

    Raises:
        UserError: A setting is not one of this pruner, or has a wrong value.
    """
    values = dict(settings)
    name = values.pop("name", None)
    if name == "median":
        return _made(PRUNER, MedianPruner, values)
    if name == "hyperband":
        factor = values.get("reduction_factor")
        if not isinstance(factor, int) or factor < 2:
            raise UserError(
                f"{PRUNER}.reduction_factor={factor}: must be a whole number, 2 or more; type "
                f"{PRUNER}.reduction_factor=2"
            )
        return _made(PRUNER, HyperbandPruner, {"min_resource": step_of(rungs[0]), "max_resource": PERCENT, **values})
    if name != "none":
        raise UserError(f"{PRUNER}.name={name}: allowed are median, hyperband, none; type hydra/sweeper/pruner=median")
    return NopPruner()


def step_of(rung: float) -> int:
    """Return a rung as the step that the pruner sees."""
    return round(PERCENT * rung)


def _made(key: str, kind: type[Any], values: Mapping[str, Any]) -> Any:
    for name, value in values.items():
        if value is not None and not isinstance(value, int | float):
            raise UserError(f"{key}.{name}={value}: must be a number, true, false or null; type {key}.{name}=NUMBER")
    try:
        return kind(**values)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"{key}: {str(error).splitlines()[0]}") from error
