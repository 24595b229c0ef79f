"""The sweeper `hydra/sweeper=mmdpo`: Hydra's basic sweeper without its trial composition of every point.

The launcher composes and checks all points before the first one starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mmdpo.files import atomic_write


class MmdpoSweeper(BasicSweeper):
    """Pass all points of a command to the launcher at once, and leave no trace of a command that is refused."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the points; multirun.yaml is written when they have been checked and begin to run."""
        assert self.config is not None  # setup has been called
        assert self.launcher is not None
        assert self.hydra_context is not None
        from mmdpo.config.group_aliases import spelled_out
        from mmdpo.entry.hydra import Refused
        from mmdpo.points.commands import when_begun

        words = spelled_out([*self._parse_config(), *arguments])
        overrides = OverridesParser.create(config_loader=self.hydra_context.config_loader).parse_overrides(words)
        for override in overrides:
            if override.is_sweep_override() and not override.is_discrete_sweep():
                raise Refused(
                    f"{override.input_line}: only a searching sweeper can choose values from an interval; add "
                    "hydra/sweeper=optuna, or list the values"
                )
        self.overrides = self.split_arguments(overrides, self.max_batch_size)
        when_begun(self._save)
        count, returned = 0, []
        while not self.is_done():
            batch = self.get_job_batch()
            returned.append(self.launcher.launch(batch, initial_job_idx=count))
            count += len(batch)
            for result in returned[-1]:
                _ = result.return_value  # raises if the point failed
        return returned

    def _save(self) -> None:
        """Write multirun.yaml."""
        assert self.config is not None
        with atomic_write(Path(self.config.hydra.sweep.dir, "multirun.yaml")) as aside:
            OmegaConf.save(self.config, aside)


TARGET = "hydra_plugins.mmdpo.sweeper.MmdpoSweeper"
NODE = BasicSweeperConf(_target_=TARGET)
ConfigStore.instance().store("mmdpo", NODE, group="hydra/sweeper", provider="mmdpo")
