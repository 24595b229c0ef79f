"""The sweeper `hydra/sweeper=mmdpo`: Hydra's basic sweeper without its trial composition of every point.

The launcher composes and checks all points before the first one starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hydra_plugins.mmdpo.launcher import MmdpoLauncher
from mmdpo.files import atomic_write


class MmdpoSweeper(BasicSweeper):
    """Pass all points of a command to the launcher at once, and leave no trace of a command that is refused."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None, blocks: Any = None) -> None:
        """Keep the settings of `hydra.sweeper`; `blocks` are products of axes beside each other."""
        super().__init__(max_batch_size, params)
        self.blocks = blocks

    def sweep(self, arguments: list[str]) -> Any:
        """Run the points; multirun.yaml is written when they have been checked and begin to run."""
        assert self.config is not None  # setup has been called
        assert self.launcher is not None
        assert self.hydra_context is not None
        assert isinstance(self.launcher, MmdpoLauncher)  # any other is refused
        from mmdpo.entry.blocks import chunks, split_into_blocks
        from mmdpo.entry.hydra import Refused
        from mmdpo.entry.search import typed_value
        from mmdpo.errors import UserError
        from mmdpo.points.commands import when_begun

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        try:
            blocks = split_into_blocks(parser, self._parse_config(), self.blocks, arguments)
        except UserError as error:
            raise Refused(str(error)) from error
        when_begun(self._save)
        returned = []
        # A dry run describes all points at once, since it ends with its first batch.
        is_dry_run = (typed_value(arguments, "dry_run") or "").lower() == "true"
        for batch in chunks(blocks, None if is_dry_run else self.max_batch_size):
            returned.append(self.launcher.launch_blocks(batch))
            for result in returned[-1]:
                _ = result.return_value  # raises if the point failed
        return returned

    def _save(self) -> None:
        """Write multirun.yaml."""
        assert self.config is not None
        with atomic_write(Path(self.config.hydra.sweep.dir, "multirun.yaml")) as aside:
            OmegaConf.save(self.config, aside)


TARGET = "hydra_plugins.mmdpo.sweeper.MmdpoSweeper"
NODE = {"_target_": TARGET, "max_batch_size": None, "params": None, "blocks": None}
ConfigStore.instance().store("mmdpo", NODE, group="hydra/sweeper", provider="mmdpo")
