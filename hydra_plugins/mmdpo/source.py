"""A config source for what is not in conf/: the typed schema, the files of sweeps/, and a user's own presets.

The schema and the sweeps are loaded only when they are used. In Hydra's ConfigStore they would be created at every
start and copied with every composition. Hydra imports this file at every start: it must stay light.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from mmdpo.config.resolvers import register_resolvers
from mmdpo.config.schema import CONF, GROUPS, SWEEPS, Config

register_resolvers()
SCHEMA, SWEEP = "schema", "sweep"


class MmdpoSource(ConfigSource):
    """Source of the config `schema`, of the group `sweep`, and of presets in the user's config directories.

    Sweeps are placed at the root of the config, without `# @package _global_`. The keys of a user's file are checked
    when it is loaded.
    """

    @staticmethod
    def scheme() -> str:
        """Return the scheme of this source's address."""
        return "mmdpo"

    def available(self) -> bool:
        """Return True: the source is a part of the program."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Return whether the path is the group `sweep` or the root above it."""
        return config_path.strip("/") in ("", SWEEP)

    def is_config(self, config_path: str) -> bool:
        """Return whether the path is the schema, a sweep, or a preset in one of the user's directories."""
        return config_path == SCHEMA or _find(config_path) is not None

    def load_config(self, config_path: str) -> ConfigResult:
        """Load the schema, a sweep or a user's preset."""
        if config_path == SCHEMA:
            schema = OmegaConf.structured(Config)
            plan, given = schema.plan, (schema.data.fields, schema.train.trl, schema.method.losses)
            for own_keys in (*given, plan.compared, plan.against):
                OmegaConf.set_struct(own_keys, False)  # the keys are the user's: no + before the override
            return self._result(schema, "_global_")
        file, group = _find(config_path), _group(config_path)
        assert file is not None  # is_config has found it
        node = _load(file)
        package = self._get_header_dict(file.read_text(encoding="utf-8")[:512])["package"]
        if group == SWEEP:
            package = "_global_"
        if file.parent != SWEEPS and package in (None, "_global_"):
            _check(file, None if package else group, OmegaConf.to_container(node))
        return self._result(node, package)

    def _result(self, node: Any, package: str | None) -> ConfigResult:
        return ConfigResult(self.provider, self.full_path(), node, header={"package": package})

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """List the groups or configs below the path, or both without a filter."""
        top = not config_path.strip("/")
        groups = [SWEEP] if top else []
        folders = [SWEEPS, *(directory / SWEEP for directory in _own_directories())]
        configs = [SCHEMA] if top else sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
        kinds = {ObjectType.GROUP: groups, ObjectType.CONFIG: configs}
        return groups + configs if results_filter is None else kinds[results_filter]


def _find(config_path: str) -> Path | None:
    """Find the file of a sweep, or of a preset in the user's directories."""
    group, name = _group(config_path), Path(config_path).name
    folders = [directory / group for directory in _own_directories()] if group in (SWEEP, *GROUPS) else []
    if group == SWEEP:
        folders.insert(0, SWEEPS)
    files = [folder / f"{name}.yaml" for folder in folders]
    return next((file for file in files if file.is_file()), None)


def _group(config_path: str) -> str:
    return str(Path(config_path).parent)


def _own_directories() -> list[Path]:
    """List the config directories that --config-dir adds to conf/."""
    if not GlobalHydra.instance().is_initialized():
        return []
    elements = GlobalHydra.instance().config_loader().get_search_path().get_path()
    paths = [Path(one.path.removeprefix("file://")) for one in elements if one.provider == "command-line" and one.path]
    return [path for path in paths if path.resolve() != CONF]


def _load(file: Path) -> Any:
    """Read a YAML file; Hydra prints what is wrong with it without a traceback."""
    import yaml

    try:
        node = OmegaConf.load(file)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigCompositionException(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    if not OmegaConf.is_dict(node):
        raise ConfigCompositionException(f"{file} cannot be read: it must hold `key: value` lines")
    return node


def _check(file: Path, group: str | None, content: Any) -> None:
    """Check the keys of a user's file; Hydra prints the message without a traceback."""
    from mmdpo.entry.overrides import check_preset
    from mmdpo.errors import UserError

    try:
        check_preset(file, group, content)
    except UserError as error:
        raise ConfigCompositionException(str(error)) from None


class MmdpoSearchPath(SearchPathPlugin):
    """Plugin that adds the source to Hydra's search path, after conf/."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the source."""
        search_path.append("mmdpo", f"{MmdpoSource.scheme()}://")
