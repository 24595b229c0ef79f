"""Where Hydra finds what is not in conf/: the typed schema, and each file of sweeps/ as `sweep=NAME`.

Each is made when it is asked for. In Hydra's ConfigStore all of them would be made at every start, and copied
with every composition. Hydra imports this file at every start: it must be light.
"""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from mmdpo.config.schema import SWEEPS, Config

SCHEMA, GROUP = "schema", "sweep"


class MmdpoSource(ConfigSource):
    """The config `schema`, and the options of the group `sweep`."""

    @staticmethod
    def scheme() -> str:
        """What the address of this source begins with."""
        return "mmdpo"

    def available(self) -> bool:
        """It is a part of the program."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Whether the path is `sweep`, or the empty one that lies above it."""
        return config_path.strip("/") in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        """Whether the path is `schema`, or `sweep/NAME` of a study that is there."""
        return config_path == SCHEMA or (config_path.startswith(f"{GROUP}/") and _file(config_path).is_file())

    def load_config(self, config_path: str) -> ConfigResult:
        """The schema or a study; both lie at the root of the config."""
        node = OmegaConf.structured(Config) if config_path == SCHEMA else OmegaConf.load(_file(config_path))
        return ConfigResult(self.provider, self.full_path(), node, header={"package": "_global_"})

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """What lies under the path: groups, configs, or both without a filter."""
        top = not config_path.strip("/")
        groups = [GROUP] if top else []
        configs = [SCHEMA] if top else sorted(file.stem for file in SWEEPS.glob("*.yaml"))
        kinds = {ObjectType.GROUP: groups, ObjectType.CONFIG: configs}
        return groups + configs if results_filter is None else kinds[results_filter]


def _file(config_path: str) -> Path:
    return SWEEPS / f"{Path(config_path).name}.yaml"


class MmdpoSearchPath(SearchPathPlugin):
    """Lets Hydra look there, after conf/."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the source."""
        search_path.append("mmdpo", f"{MmdpoSource.scheme()}://")
