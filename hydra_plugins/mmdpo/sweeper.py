"""The sweeper `hydra/sweeper=mmdpo`: Hydra's basic sweeper without its trial composition of every point.

The launcher composes and checks all points before the first one starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore


class MmdpoSweeper(BasicSweeper):
    """Pass all points of a command to the launcher at once."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the points, after the study's folder has been made."""
        assert self.config is not None  # setup has been called
        from mmdpo.entry.hydra import make_study

        make_study(Path(self.config.hydra.sweep.dir))
        return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: the launcher checks the points."""


TARGET = "hydra_plugins.mmdpo.sweeper.MmdpoSweeper"
NODE = BasicSweeperConf(_target_=TARGET)
ConfigStore.instance().store("mmdpo", NODE, group="hydra/sweeper", provider="mmdpo")
