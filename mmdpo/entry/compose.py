"""Hydra's half of the configuration: composes it and types what was composed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import cast

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdpo.config.schema import CONF, Config, DataConfig
from mmdpo.errors import UserError


def typed(config: DictConfig) -> Config:
    """The composed config as checked dataclasses; raises UserError with every problem found."""
    from mmdpo.entry.checks import check

    try:
        missing = sorted(OmegaConf.missing_keys(config))
    except OmegaConfBaseException as error:  # an interpolation of what is not there
        raise UserError(str(error)) from error
    if missing:
        raise UserError("\n".join(f"{key} is missing: add {key}=..." for key in missing))
    result = cast(Config, _typed(config, Config))
    check(result)
    return result


def _typed(config: DictConfig, schema: type, prefix: str = "") -> object:
    """The dataclass of a config or of a group, unchecked."""
    unknown = [*_unknown_keys(config, schema, prefix)]
    if unknown:
        raise UserError("\n".join(f"{key} is no key of the config; see python launch.py --cfg job" for key in unknown))
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(str(error)) from error


def _unknown_keys(config: DictConfig, schema: type, prefix: str = "") -> Iterator[str]:
    """Keys that +key= added past the schema."""
    fields = {field.name for field in dataclasses.fields(schema)}
    for key in map(str, config):
        kind = OmegaConf.get_type(config, key)
        if key not in fields:
            yield prefix + key
        elif kind is not None and dataclasses.is_dataclass(kind):
            yield from _unknown_keys(config[key], kind, f"{prefix}{key}.")


def compose_config(overrides: Sequence[str] = ()) -> Config:
    """The config that `python launch.py OVERRIDES` would run."""
    return typed(_composed(overrides))


def compose_data(overrides: Sequence[str] = ()) -> tuple[DataConfig, str]:
    """The data and the judge's name of `python launch.py OVERRIDES`, whether or not their files are there.

    Keys of the data that are still to be given are None. Raises UserError on wrong overrides and settings.
    """
    from mmdpo.entry.checks import check_data

    try:
        config = _composed(overrides)
        for key in OmegaConf.missing_keys(config.data):
            OmegaConf.update(config.data, key, None)
        data = cast(DataConfig, _typed(config.data, DataConfig, "data."))
        judge = str(config.judge.name)
    except (HydraException, OmegaConfBaseException) as error:
        reason = f": {error.__cause__}".splitlines()[0] if error.__cause__ else ""
        raise UserError(f"{error}".partition("Config search path:")[0].strip() + reason) from error
    check_data(data)
    return data, judge


def _composed(overrides: Sequence[str]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))
