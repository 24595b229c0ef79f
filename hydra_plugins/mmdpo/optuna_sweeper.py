"""The sweeper `hydra/sweeper=optuna`, which chooses points by the scores of earlier ones.

Hydra imports this file at every start: it must stay light.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.mmdpo.launcher import MmdpoLauncher


class OptunaSweeper(Sweeper):
    """Search points with a sampler of Optuna, in batches that run together."""

    def __init__(self, **settings: Any) -> None:
        """Keep the settings of `hydra.sweeper`."""
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, which composes the points."""
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.config, self.hydra_context = config, hydra_context

    def sweep(self, arguments: list[str]) -> None:
        """Run the search, and print its best point."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        from mmdpo.entry.optuna_search import run_search

        assert isinstance(self.launcher, MmdpoLauncher)  # any other is refused
        assert self.config is not None  # setup has been called
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        run_search(self.launcher.compose, self.config, self.settings, parser, arguments)


GROUP = "hydra/sweeper"
SAMPLER_SETTINGS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": False, "constant_liar": True},
    "random": {},
    "grid": {},
    "cmaes": {"sigma0": None, "n_startup_trials": 1, "popsize": None, "with_margin": False, "lr_adapt": False},
    "nsgaii": {"population_size": 50, "mutation_prob": None, "crossover_prob": 0.9, "swapping_prob": 0.5},
}
PRUNER_SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "median": {"n_startup_trials": 5, "n_warmup_steps": 0, "n_min_trials": 1},
    "hyperband": {"reduction_factor": 2},
}
SWEEPER_SETTINGS: dict[str, Any] = {
    "defaults": [{"sampler": "tpe"}, {"pruner": "none"}],
    "_target_": "hydra_plugins.mmdpo.optuna_sweeper.OptunaSweeper",
    "_recursive_": False,
    "n_trials": None,  # of the whole search; a grid has a number of its own
    "n_jobs": 1,  # trials per batch, whose points run together with cluster=local_parallel or slurm
    "rungs": None,  # the shares of a training at which a pruner decides; null: the default of search.rungs
    "direction": None,  # null: that of the objective
    "storage": None,  # an address of Optuna's; null: optuna.db in the study's folder
    "study_name": None,  # the name of the search in its storage; null: the study's
    "max_failure_rate": 0.0,  # the share of a batch's trials that may fail
    "params": None,
    "blocks": None,
}
store = ConfigStore.instance()
store.store("optuna", SWEEPER_SETTINGS, group=GROUP, provider="mmdpo")
for name, values in SAMPLER_SETTINGS.items():
    store.store(name, {"name": name, "seed": 0, **values}, group=f"{GROUP}/sampler", provider="mmdpo")
for name, values in PRUNER_SETTINGS.items():
    store.store(name, {"name": name, **values}, group=f"{GROUP}/pruner", provider="mmdpo")
