"""Defensive reading of the small files of a point, whoever damaged them: config.yaml, result.json, training.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from mmdpo.files import Unreadable, read_bytes, read_json

MAX_BYTES = 1 << 24
MAX_DEPTH = 40  # of mappings and lists within each other; ours have 5


def read_mapping(path: Path) -> dict[str, Any]:
    """Read the mapping in a JSON or YAML file of a point: text as keys, and values of JSON's types.

    Raises:
        FileNotFoundError: There is no such file.
        Unreadable: The file is damaged, or is none of ours. The message names it and says why.
    """
    try:
        data = _plain(_read_yaml(path) if path.suffix == ".yaml" else read_json(path, MAX_BYTES))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, OverflowError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"{path.name} cannot be read: {' '.join(str(reason).split())}") from error
    if not isinstance(data, dict):
        raise Unreadable(f"{path.name} cannot be read: it holds no mapping")
    return data


def mapping_or_none(path: Path) -> dict[str, Any] | None:
    """Read the mapping in a file of a point; None if the file is missing or cannot be read."""
    try:
        return read_mapping(path)
    except (FileNotFoundError, Unreadable):
        return None


def _read_yaml(path: Path) -> Any:
    """Read YAML without aliases, which our files do not have and which can stand for gigabytes."""
    text = read_bytes(path, MAX_BYTES).decode("utf-8")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):  # loading deeply nested text would end the process
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable("it has an alias (*)")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise Unreadable("it is nested too deeply")
    return yaml.load(text, Loader=yaml.CSafeLoader)


def _plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return data with text as keys and in place of dates and the like; integers of more than 64 bits become floats.

    Raises Unreadable for data in which what follows would recurse too deeply.
    """
    if depth == 0:
        raise Unreadable("it is nested too deeply")
    if isinstance(value, dict):
        return {str(key): _plain(one, depth - 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth - 1) for one in value]
    if isinstance(value, int) and value.bit_length() > 64:
        return math.copysign(math.inf, value) if value.bit_length() > 1000 else float(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)
