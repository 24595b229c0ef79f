"""The keys of the config: whether a dotted key exists, and which key was meant where it does not."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Hashable, Iterator
from functools import cache
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from mmdpo.config.foreign_names import foreign_name, without_prefix
from mmdpo.config.renamed import RENAMED, new_name
from mmdpo.config.schema import AXES, GROUPS, Config

SUGGESTED = 3  # keys in a message


def key_problem(key: str) -> str | None:
    """Describe a dotted key that the schema does not have, or return None if it has it.

    A key of an earlier version gets its present name, a key of another tool its name here, and any other the keys
    that look like it.
    """
    if exists(key.split("."), Config):
        return None
    if (name := new_name(key)) is not None:
        return f"{key} is now {name}"
    if (here := foreign_name(key)) is not None:
        return f"{key}: unknown key; {here}"
    if found := similar_keys(key):
        return f"{key}: unknown key; did you mean {' or '.join(found)}?"
    return f"{key}: unknown key; `python launch.py --cfg job` prints all keys"


def exists(parts: list[str], schema: Any) -> bool:
    """Return whether a key, split at its dots, leads to a field of the schema or to an entry of one of its fields.

    Args:
        parts: The pieces of the key, such as ["model", "lora", "r"].
        schema: The type to look in: a dataclass, dict[...], list[...], or the type of a value.

    Returns:
        True for fields, groups, and any entry of a dictionary or list.
    """
    if not parts or schema is Any:
        return True
    if dataclasses.is_dataclass(schema):
        kind = field_types(cast(Hashable, schema)).get(parts[0])
        return kind is not None and exists(parts[1:], kind)
    if get_origin(schema) in (dict, list):
        return exists(parts[1:], get_args(schema)[-1])
    return False


def similar_keys(key: str) -> list[str]:
    """List the keys that may have been meant, the most similar first; those of earlier versions by their new name."""
    present = {**RENAMED, **{other: other for other in all_keys()}}
    leaf = without_prefix(key.rpartition(".")[2])
    same_leaf = [other for other in present if other.rpartition(".")[2] == leaf]
    same_leaf.sort(key=lambda other: other.startswith(("method.", "model.lr")))  # read where nothing else is set
    close = difflib.get_close_matches(key, present, n=SUGGESTED, cutoff=0.8)
    leaves = {other.rpartition(".")[2]: other for other in present}
    close_leaf = [leaves[name] for name in difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.8)]
    found = dict.fromkeys(present[other] for other in [*same_leaf, *close, *close_leaf])
    # An axis at the root is what a point reads; method.lr and model.lr are defaults of it.
    defaults = {f"{group}.{axis}" for group in ("method", "model") for axis in AXES}
    return [name for name in found if name not in defaults][:SUGGESTED]


@cache
def all_keys() -> tuple[str, ...]:
    """List the dotted keys of the schema, and its groups."""
    return (*_keys(Config, ""), *GROUPS)


def _keys(schema: type, prefix: str) -> Iterator[str]:
    for name, kind in field_types(schema).items():
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            yield from _keys(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def allows_none(schema: Any, name: str) -> bool:
    """Return whether a field of a dataclass may be null."""
    return type(None) in get_args(get_type_hints(schema)[name])


@cache
def field_types(schema: Hashable) -> dict[str, Any]:
    """Return the type of each field, X for X | None."""
    return {name: _without_none(kind) for name, kind in get_type_hints(cast(type, schema)).items()}


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next(part for part in get_args(kind) if part is not type(None))
    return kind
