"""The settings, apart from the axes, in which the configurations of a study's points differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any, get_type_hints

from mmdpo.config.markers import NoResult
from mmdpo.config.schema import AXES, GROUPS, Config


def keys_without_result(schema: type = Config, prefix: str = "") -> Iterator[str]:
    """Iterate over the dotted keys of settings, and of groups of settings, that change no result.

    Names of groups are left out: they label what the other settings of a group choose.
    """
    hints = get_type_hints(schema, include_extras=True)
    for field in dataclasses.fields(schema):
        kind, key = hints[field.name], f"{prefix}{field.name}"
        marked = any(isinstance(mark, NoResult) for mark in getattr(kind, "__metadata__", ()))
        if marked and field.name != "name":
            yield key
        elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield from keys_without_result(kind, f"{key}.")


IGNORED = {*AXES, *keys_without_result()}
"""The keys that change no result, and the axes, which are shown anyway."""


def flatten_dict(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a configuration to dotted keys; lists and empty mappings become text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= flatten_dict(value, f"{name}.")
        else:
            flat[name] = str(value) if isinstance(value, list | dict) else value
    return flat


def varying_settings(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each configuration the settings in which they differ, apart from the axes.

    A setting that follows from the option of a group, as `method.loss_type` follows from `method.name`, is left out.
    """
    flats = [
        {key: value for key, value in {**schema_defaults(), **flatten_dict(config)}.items() if not _is_ignored(key)}
        for config in configs
    ]
    keys = sorted({key for flat in flats for key in flat})
    differing = [key for key in keys if len({_text(flat.get(key)) for flat in flats}) > 1]
    names = [*(f"{group}.name" for group in GROUPS), "bench.judge.name"]
    groups = [key for key in differing if key in names]
    others = [key for key in differing if key not in names and not _follows(key, groups, flats)]
    shown = [key for key in (*groups, *others) if key != "method.name"]  # the axis `method`
    return [{key: flat.get(key) for key in shown} for flat in flats]


@cache
def schema_defaults() -> dict[str, Any]:
    """Return the defaults of the schema, which the configs of earlier versions leave out."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(OmegaConf.structured(Config), resolve=False, enum_to_str=True)
    return {key: value for key, value in flatten_dict(plain).items() if value != "???"}


def _is_ignored(key: str) -> bool:
    """Return whether a dotted key, or a group that it is in, changes no result or is an axis."""
    words = key.split(".")
    return any(".".join(words[:length]) in IGNORED for length in range(1, len(words) + 1))


def _follows(key: str, groups: list[str], flats: list[dict[str, Any]]) -> bool:
    """Return whether the chosen options determine the value of `key`."""
    if not groups:
        return False
    seen: dict[tuple[str, ...], str] = {}
    for flat in flats:
        chosen = tuple(_text(flat.get(group)) for group in groups)
        if seen.setdefault(chosen, _text(flat.get(key))) != _text(flat.get(key)):
            return False
    return True


def _text(value: Any) -> str:
    return f"{type(value).__name__}:{value}"
