"""The launcher `hydra/launcher=mmdpo`, which gets all points of a sweep at once.

The points can so be checked, compared with what is finished, and run together. Hydra imports this file at every
start: it must stay light.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict


class MmdpoLauncher(Launcher):
    """Pass the composed points of a sweep to mmdpo.entry.hydra."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what composing the points needs. The task function runs single points only."""
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose, check and run the points."""
        from mmdpo.entry.compose_points import compose_points
        from mmdpo.entry.hydra import launch
        from mmdpo.entry.typed_keys import TypedKeys

        setup_globals()
        configs = compose_points(self._compose, job_overrides, TypedKeys())
        if self.config.hydra.sweeper._target_.endswith(("BasicSweeper", "MmdpoSweeper")):
            from mmdpo.entry.halving import print_best_result

            points = [*configs]
            results = launch(points)
            print_best_result(points, job_overrides, results)
            return results
        return self._search(configs, job_overrides)

    def _search(self, configs: Iterable[Any], job_overrides: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
        """Run points of a sweeper that chooses the next ones by their scores."""
        from mmdpo.entry.hydra import launch
        from mmdpo.entry.search import Trial, checked, note_trial

        given = self.config.hydra.sweeper.get("direction")
        results = launch(checked(configs, job_overrides, getattr(given, "name", given)), searching=True)
        for overrides, result in zip(job_overrides, results, strict=False):
            if result.status is JobStatus.COMPLETED and result.overrides:
                search = self.config.study, self.config.objective
                note_trial(Trial(result.overrides[0], tuple(overrides), float(result.return_value), *search))
        return results

    def _compose(self, overrides: list[str]) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        OmegaConf.set_readonly(config, False)
        with open_dict(config):
            del config["hydra"]
        return config


TARGET = {"_target_": "hydra_plugins.mmdpo.launcher.MmdpoLauncher"}
ConfigStore.instance().store("mmdpo", TARGET, group="hydra/launcher", provider="mmdpo")
