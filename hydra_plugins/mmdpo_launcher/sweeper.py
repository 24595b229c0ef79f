"""The sweeper `hydra/sweeper=mmdpo`: Hydra's own, which multiplies the values, without its trial composition
of every point. The launcher composes and checks all of them before the first one starts.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore


class MmdpoSweeper(BasicSweeper):
    """Gives the launcher all points of a line at once."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Left to the launcher."""


TARGET = "hydra_plugins.mmdpo_launcher.sweeper.MmdpoSweeper"
NODE = BasicSweeperConf(_target_=TARGET)
ConfigStore.instance().store("mmdpo", NODE, group="hydra/sweeper", provider="mmdpo")
