"""The launcher `hydra/launcher=mmdpo`, which gets all points of a sweep at once.

The points can so be checked, compared with what is finished, and run together. Hydra imports this file at every
start: it must stay light.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from mmdpo.config.schema import Config
    from mmdpo.entry.blocks import PointBlock


class MmdpoLauncher(Launcher):
    """Pass the composed points of a sweep to mmdpo.entry.hydra."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what composing the points needs. The task function runs single points only."""
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse a sweeper of another project, which would not choose by the dev split."""
        from mmdpo.entry.hydra import Refused

        raise Refused("hydra/sweeper: allowed are mmdpo and optuna; type hydra/sweeper=optuna for a search")

    def launch_blocks(self, blocks: Sequence[PointBlock]) -> Sequence[JobReturn]:
        """Compose, check and run the points of all blocks together."""
        from mmdpo.entry.blocks import compose_blocks
        from mmdpo.entry.halving import check_halving_split, print_best_result
        from mmdpo.entry.hydra import launch

        configs: list[Config] = []
        overrides = [words for block in blocks for words in block.points]

        def noted() -> Iterator[Config]:
            for config in compose_blocks(self.compose, blocks):
                configs.append(config)
                yield config
            check_halving_split(configs, overrides)

        results = launch(noted())
        print_best_result(configs, overrides, results)
        return results

    def compose(self, overrides: list[str]) -> DictConfig:
        """Compose the config of a point."""
        setup_globals()
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        OmegaConf.set_readonly(config, False)
        with open_dict(config):
            del config["hydra"]
        return config


TARGET = {"_target_": "hydra_plugins.mmdpo.launcher.MmdpoLauncher"}
ConfigStore.instance().store("mmdpo", TARGET, group="hydra/launcher", provider="mmdpo")
