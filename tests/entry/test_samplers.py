"""Samplers and pruners of a search: one seed per trial, and settings that are refused."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

from hydra_plugins.mmdpo.optuna_sweeper import PRUNER_SETTINGS, SAMPLER_SETTINGS
from mmdpo.entry.samplers import make_pruner, make_sampler, step_of
from mmdpo.errors import UserError


def first(name: str, number: int, seed: int) -> float:
    """Return the value that a sampler chooses for the first trial of an empty study."""
    study = optuna.create_study(
        sampler=make_sampler({"name": name, "seed": seed, **SAMPLER_SETTINGS[name]}, number, None)
    )
    return float(study.ask({"x": FloatDistribution(0, 1)}).params["x"])


@pytest.mark.parametrize("name", ["tpe", "random", "nsgaii", "cmaes"])
def test_the_seed_and_the_number_of_the_trial_choose(name: str) -> None:
    values = [first(name, number, seed) for number, seed in ((0, 0), (1, 0), (0, 1), (0, 0))]
    assert len({*values}) == 3
    assert values[0] == values[3]


def test_each_point_of_a_grid_is_chosen_once() -> None:
    study = optuna.create_study()
    found = []
    for number in range(4):
        study.sampler = make_sampler({"name": "grid", "seed": 5}, number, {"x": [0.0, 1.0], "y": [0.0, 2.0]})
        trial = study.ask({"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 2)})
        found.append((trial.params["x"], trial.params["y"]))
        study.tell(trial, 0.0)
    assert sorted(found) == [(0, 0), (0, 2), (1, 0), (1, 2)]


def test_a_rung_is_a_step_of_the_pruner() -> None:
    assert isinstance(make_pruner({"name": "none"}, []), NopPruner)
    assert isinstance(make_pruner({"name": "median", **PRUNER_SETTINGS["median"]}, [0.5]), MedianPruner)
    pruner = make_pruner({"name": "hyperband", **PRUNER_SETTINGS["hyperband"]}, [0.25, 0.5])
    assert isinstance(pruner, HyperbandPruner)
    assert [step_of(rung) for rung in (0.25, 0.5, 1)] == [25, 50, 100]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "tp"}, "allowed are tpe, random, grid, cmaes, nsgaii"),
        ({"name": "tpe", "seed": None}, r"hydra\.sweeper\.sampler\.seed=null.*type hydra\.sweeper\.sampler\.seed=0"),
        ({"name": "tpe", "n_ei_candidates": "x"}, r"hydra\.sweeper\.sampler\.n_ei_candidates=x: must be a number"),
        ({"name": "random", "popsize": 3}, r"hydra\.sweeper\.sampler: .*popsize"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_sampler(settings, 0, None)
    with pytest.raises(UserError, match=r"hydra/sweeper/pruner=median"):
        make_pruner({"name": "mean"}, [0.5])
    with pytest.raises(UserError, match=r"reduction_factor=1: .*type hydra\.sweeper\.pruner\.reduction_factor=2"):
        make_pruner({"name": "hyperband", "reduction_factor": 1}, [0.5])
