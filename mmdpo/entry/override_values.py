"""Check what overrides assign before Hydra composes them: the types of values, and the entries of dictionaries.

Hydra would name the type of a value and not the override to type, and would advise to add a mistyped entry.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdpo.config.field_checks import did_you_mean, unknown_choice
from mmdpo.config.keys import allows_none, exists, field_types, key_problem
from mmdpo.config.new_sources import added_sources
from mmdpo.config.presets import preset_values
from mmdpo.config.schema import CONF, GROUPS, Config

SWEEP = "sweep"
WITHOUT_PLUS = (["data", "fields"], ["train", "trl"], ["method", "losses"])
"""Dictionaries whose new entries need no +: other checks know their entries."""

LOSSES = "method.losses"
"""A dictionary whose entries are a sum: one that stays beside those that are typed changes the result."""

KINDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}


def value_problems(overrides: Sequence[str]) -> Iterator[str]:
    """Describe each value of a wrong type and each entry that a preset does not have, with the override to type."""
    chosen = dict(_chosen_presets(overrides))
    added = tuple(f"data.sources.{name}." for name in added_sources(overrides))
    for text in overrides:
        key, sign, value = text.partition("=")
        name = key.strip().lstrip("+~")
        if not sign or key.startswith("~") or "${" in value or name == SWEEP or name.partition(".")[0] == "hydra":
            continue
        is_new = key.startswith(("+", *added))
        if not is_new and SWEEP not in chosen and (problem := _entry_problem(name, value, chosen)):
            yield problem
        elif name == LOSSES:
            yield from _sum_problems(text, overrides, chosen)
        elif exists(name.split("."), Config):
            yield from _problems_of_values(name, text)


def assignment_problem(key: str, value: Any) -> str | None:
    """Describe a value that a setting does not take; None if it takes it.

    Args:
        key: The dotted key of a setting, or of an entry of one.
        value: A parsed value.
    """
    holder, kind = _holder(key)
    if holder is None:
        return None
    try:
        OmegaConf.update(_node_of(holder), key.rpartition(".")[2], value)
    except OmegaConfBaseException:
        return _wrong_type(key, value, kind, allows_none(holder, key.rpartition(".")[2]))
    return None


@cache
def _node_of(holder: type) -> Any:
    """Return a node with the types of a dataclass, whose values have no meaning. To make one takes 10 ms."""
    return OmegaConf.structured(holder)


def _values(text: str) -> Iterator[Any]:
    """Yield the value of an override, or each of a sweep's; nothing if Hydra's parser or sweeper describes it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(text)
        if override.is_discrete_sweep():
            yield from override.sweep_iterator()
        elif not override.is_sweep_override():
            yield override.value()
    except HydraException:
        return


def _problems_of_values(key: str, text: str) -> Iterator[str]:
    for one in _values(text):
        yield from _problems_of(key, one)


def _problems_of(key: str, value: Any) -> Iterator[str]:
    if key in GROUPS and not isinstance(value, dict):
        return  # a preset
    kind = kind_of(key)
    if isinstance(value, dict) and dataclasses.is_dataclass(kind):
        for name, one in value.items():
            inner = f"{key}.{name}"
            if (problem := key_problem(inner)) is not None:
                yield problem
            else:
                yield from _problems_of(inner, one)
    elif (problem := assignment_problem(key, value)) is not None:
        yield problem


def _wrong_type(key: str, value: Any, kind: Any, may_be_null: bool) -> str:
    shown = f"{key}={'null' if value is None else value}"
    if isinstance(kind, type) and issubclass(kind, Enum) and value is not None:
        return unknown_choice(key, value, [one.name for one in kind])
    if dataclasses.is_dataclass(kind):
        first = dataclasses.fields(kind)[0].name
        return f"{shown}: is a group of settings; type one of them, as in {key}.{first}=VALUE"
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        entry = f"NAME.{dataclasses.fields(inner)[0].name}" if dataclasses.is_dataclass(inner) else "NAME"
        return f"{shown}: has entries; type {key}.{entry}=VALUE, or +{key}.{entry}=VALUE for a new one"
    if get_origin(kind) is list:
        one = KINDS.get(get_args(kind)[0], "a value")
        return f"{shown}: must be a list, each entry {one}; type '{key}=[A,B]'"
    wanted = KINDS.get(kind, "a value of another type")
    return f"{shown}: must be {wanted}{' or null' if may_be_null else ''}; type {key}=VALUE"


def kind_of(key: str) -> Any:
    """Return the type of a setting; None for an entry of a dictionary or list."""
    holder, kind = _holder(key)
    return kind if holder is not None else None


def _holder(key: str) -> tuple[Any, Any]:
    """Return the dataclass that has a setting, and the setting's type; None for entries of dictionaries and lists."""
    schema: Any = Config
    *path, last = key.split(".")
    for name in path:
        if dataclasses.is_dataclass(schema):
            schema = field_types(cast(Hashable, schema)).get(name)
        else:
            schema = get_args(schema)[1] if get_origin(schema) is dict else None
    if not dataclasses.is_dataclass(schema):
        return None, None
    return schema, field_types(cast(Hashable, schema)).get(last)


def _chosen_presets(overrides: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each group that overrides choose presets of, with the presets."""
    found: dict[str, list[str]] = {}
    for text in overrides:
        key, _, value = text.partition("=")
        if key.lstrip("+") in (*GROUPS, SWEEP) and not value.startswith("{"):
            found.setdefault(key.lstrip("+"), []).extend(value.split(","))
    yield from found.items()


def _entry_problem(key: str, value: str, chosen: Mapping[str, list[str]]) -> str | None:
    """Describe the key of an entry that no chosen preset has; None if one has it, or if it is no entry."""
    parts = key.split(".")
    if parts[0] not in GROUPS or parts[:-1] in WITHOUT_PLUS:
        return None
    schema: Any = Config
    for index, part in enumerate(parts):
        if get_origin(schema) is dict:
            holder, name = parts[:index], part
            break
        schema = field_types(cast(Hashable, schema)).get(part) if dataclasses.is_dataclass(schema) else None
    else:
        return None
    presets = chosen.get(parts[0]) or [_default_preset(parts[0])]
    entries = [one for preset in presets for one in _entries(parts[0], preset, holder[1:])]
    if name in entries:
        return None
    there = f"; there are {', '.join(dict.fromkeys(entries))}" if entries else ""
    near = did_you_mean(name, entries)
    where = f"{parts[0]}={','.join(presets)} has no {name} in {'.'.join(holder)}"
    return f"{key}={value}: {where}{there}{near or ';'} {'To' if near else 'to'} add it, type +{key}={value}"


def _sum_problems(text: str, overrides: Sequence[str], chosen: Mapping[str, list[str]]) -> Iterator[str]:
    """Describe losses that Hydra would keep beside a typed sum, and those that a sum names twice."""
    yield from _problems_of_values(LOSSES, text)
    removed = {one.partition("=")[0] for one in overrides if one.startswith(f"~{LOSSES}.")}
    presets = chosen.get("method") or [_default_preset("method")]
    for typed in re.findall(r"\{[^{}]*\}", text):
        names = re.findall(r"(\w+)[\"']?\s*:", typed)
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            yield f"{LOSSES}={typed}: names {', '.join(twice)} twice; type one weight for each loss"
        for preset in presets:
            kept = [one for one in _entries("method", preset, ["losses"]) if one not in names]
            drop = [f"~{LOSSES}.{one}" for one in kept]
            if kept and not removed.issuperset(drop):
                change = " ".join(f"{LOSSES}.{name}=WEIGHT" for name in dict.fromkeys(names))
                yield (
                    f"{LOSSES}={typed}: {', '.join(kept)} of method={preset} would stay; to drop, type {' '.join(drop)}"
                    + (f"; to keep, type {change}" if change else "")
                )


def _entries(group: str, preset: str, path: Sequence[str]) -> list[str]:
    values: Any = preset_values(group, preset) or {}
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return [*values] if isinstance(values, dict) else []


def _default_preset(group: str) -> str:
    import yaml

    defaults = yaml.safe_load(Path(CONF, "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return next(str(one[group]) for one in defaults if isinstance(one, dict) and group in one)
