"""The sweeper `hydra/sweeper=mmdpo`: Hydra's basic sweeper without its trial composition of every point.

The launcher composes and checks all points before the first one starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser


class MmdpoSweeper(BasicSweeper):
    """Pass all points of a command to the launcher at once."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the points, after the study's folder has been made."""
        assert self.config is not None  # setup has been called
        from mmdpo.entry.hydra import Refused, make_study

        for override in OverridesParser.create().parse_overrides([*self._parse_config(), *arguments]):
            if override.is_sweep_override() and not override.is_discrete_sweep():
                raise Refused(
                    f"{override.input_line}: only a searching sweeper can choose values from an interval; add "
                    "hydra/sweeper=optuna, or list the values"
                )
        make_study(Path(self.config.hydra.sweep.dir))
        return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: the launcher checks the points."""


TARGET = "hydra_plugins.mmdpo.sweeper.MmdpoSweeper"
NODE = BasicSweeperConf(_target_=TARGET)
ConfigStore.instance().store("mmdpo", NODE, group="hydra/sweeper", provider="mmdpo")
