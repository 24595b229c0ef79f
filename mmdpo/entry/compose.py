"""Compose configs with Hydra and turn them into the typed, checked dataclasses of the schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdpo.config.choices import TrainOn
from mmdpo.config.group_aliases import spelled_out
from mmdpo.config.keys import key_problem
from mmdpo.config.new_sources import with_new_sources
from mmdpo.config.presets import set_own_directory
from mmdpo.config.schema import CONF, BenchConfig, Config, DataConfig, ModelConfig
from mmdpo.entry.overrides import check_directory, check_overrides
from mmdpo.errors import UserError


def typed(config: DictConfig) -> Config:
    """Return a composed config as checked dataclasses. Raises UserError naming every problem found."""
    from mmdpo.entry.checks import check

    try:
        missing = sorted(OmegaConf.missing_keys(config))
    except OmegaConfBaseException as error:  # an interpolation of a key that does not exist
        raise UserError(str(error)) from error
    if missing:
        raise UserError("\n".join(f"{key} is missing: add {key}=..." for key in missing))
    result = cast(Config, _typed(config, Config))
    check(result)
    return result


def compose_config(overrides: Sequence[str] = (), directory: Path | None = None) -> Config:
    """Compose the config that `python launch.py --config-dir DIRECTORY OVERRIDES` would run.

    Args:
        overrides: Overrides as on the command line.
        directory: The user's own config directory, or None.

    Returns:
        The checked config.

    Raises:
        UserError: A key or a value is wrong, or something is missing.
        HydraException: Hydra cannot compose the overrides, as with a preset that does not exist.
    """
    return typed(composed(overrides, directory))


def compose_data(overrides: Sequence[str] = (), directory: Path | None = None) -> tuple[DataConfig, str, TrainOn]:
    """Compose the data settings of a command, even if their files are missing.

    Args:
        overrides: Overrides as on the command line of launch.py.
        directory: The user's own config directory, or None.

    Returns:
        The data settings, in which keys that are still to be given are None; the label of the judge; and the kind of
        training set of the method.

    Raises:
        UserError: An override or a setting of the data is wrong.
    """
    from mmdpo.entry.checks import check_data

    try:
        config = composed(overrides, directory)
        for key in OmegaConf.missing_keys(config.data):
            OmegaConf.update(config.data, key, None)
        data = cast(DataConfig, _typed(config.data, DataConfig, "data."))
        judge, train_on = str(config.judge.name), TrainOn(config.method.train_on)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_reason(error)) from error
    check_data(data)
    return data, judge, train_on


def compose_bench(overrides: Sequence[str] = (), directory: Path | None = None) -> tuple[BenchConfig, Path]:
    """Compose the settings of the benchmarks of a command.

    Args:
        overrides: Overrides as on the command line of launch.py.
        directory: The user's own config directory, or None.

    Returns:
        The settings, whose files may be missing, and the folder of the studies (`out`).

    Raises:
        UserError: An override or a setting of the benchmarks is wrong.
    """
    from mmdpo.entry.checks import check_bench

    try:
        config = composed(overrides, directory)
        bench = cast(BenchConfig, _typed(config.bench, BenchConfig, "bench."))
        out = Path(str(config.out))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_reason(error)) from error
    check_bench(bench)
    return bench, out


def compose_model(overrides: Sequence[str] = (), directory: Path | None = None) -> ModelConfig | None:
    """Compose the model's settings of a command; None if they are wrong.

    Args:
        overrides: Overrides as on the command line of launch.py.
        directory: The user's own config directory, or None.

    Returns:
        The settings, unchecked.
    """
    try:
        return cast(ModelConfig, _typed(composed(overrides, directory).model, ModelConfig, "model."))
    except (UserError, HydraException, OmegaConfBaseException):
        return None


def _reason(error: Exception) -> str:
    """Return Hydra's message and its cause, without the search path."""
    cause = f": {error.__cause__}".splitlines()[0] if error.__cause__ else ""
    return f"{error}".partition("Config search path:")[0].strip() + cause


def composed(overrides: Sequence[str], directory: Path | None = None) -> DictConfig:
    """Compose the config of a command, without its types.

    Args:
        overrides: Overrides as on the command line of launch.py.
        directory: The user's own config directory, or None.

    Returns:
        Hydra's config.

    Raises:
        UserError: An override is wrong.
        HydraException: Hydra cannot compose the overrides.
    """
    overrides = spelled_out(overrides)
    check_overrides(overrides)
    set_own_directory(directory.resolve() if directory is not None else None)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        if directory is not None:
            check_directory(directory)
            _add_to_search_path(directory)
        return compose("config", overrides=with_new_sources(overrides))


def _add_to_search_path(directory: Path) -> None:
    """Add a directory to Hydra's search path, as --config-dir does."""
    if not directory.is_dir():
        raise UserError(f"--config-dir {directory}: there is no such folder")
    loader = GlobalHydra.instance().config_loader()
    anchor = SearchPathQuery(provider="schema")
    loader.get_search_path().prepend("command-line", f"file://{directory.resolve()}", anchor)
    loader.repository.initialize_sources(loader.get_search_path())  # type: ignore[attr-defined]


def _typed(config: DictConfig, schema: type, prefix: str = "") -> object:
    """Return a config or one of its groups as dataclasses, unchecked."""
    if unknown := [*_unknown_keys(config, schema, prefix)]:
        raise UserError("\n".join(key_problem(key) or f"{key}: unknown key" for key in unknown))
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(str(error)) from error


def _unknown_keys(config: DictConfig, schema: type, prefix: str = "") -> Iterator[str]:
    """Find keys that were added past the schema, as `+key=` in a sweep's file can."""
    fields = {field.name for field in dataclasses.fields(schema)}
    for key in map(str, config):
        kind = OmegaConf.get_type(config, key)
        if key not in fields:
            yield prefix + key
        elif kind is not None and dataclasses.is_dataclass(kind):
            yield from _unknown_keys(config[key], kind, f"{prefix}{key}.")
