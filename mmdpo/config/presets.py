"""Contents of preset files: those of conf/, then those of the user's own config directory."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mmdpo.config.schema import CONF, GROUPS

_own_directory: Path | None = None


def set_own_directory(directory: Path | None) -> None:
    """Set the user's own config directory of this command, as given by --config-dir."""
    global _own_directory
    _own_directory = directory


def own_directory() -> Path | None:
    """Return the user's own config directory of this command, or None."""
    return _own_directory


def preset_values(group: str, label: str) -> dict[str, Any] | None:
    """Return the values that a preset gives the settings of its group.

    Args:
        group: The group.
        label: The preset's `name:`, or the name of its file.

    Returns:
        The values of the file and of the files of the same group that it is based on; None where there is no file.
    """
    folders = [CONF / group, *([_own_directory / group] if _own_directory else [])]
    return _values(tuple(folders), label)


@cache
def default_presets() -> dict[str, str]:
    """Return the preset of each group that conf/config.yaml chooses."""
    content = _read(CONF / "config.yaml").get("defaults", [])
    chosen = {group: name for one in content if isinstance(one, dict) for group, name in one.items()}
    return {group: str(name) for group, name in chosen.items() if group in GROUPS}


@cache
def _values(folders: tuple[Path, ...], label: str) -> dict[str, Any] | None:
    content = next((found for folder in folders if (found := _content(folder, label)) is not None), None)
    if content is None:
        return None
    values: dict[str, Any] = {}
    for base in content.get("defaults", []):
        if isinstance(base, str) and base != "_self_":
            values = _merged(values, _values(folders, base) or {})
    return _merged(values, {key: value for key, value in content.items() if key != "defaults"})


def _content(folder: Path, label: str) -> dict[str, Any] | None:
    """Read the file of that name in a folder, else the first file with that label."""
    named = folder / f"{label}.yaml"
    if named.is_file():
        return _read(named)
    if folder.parent == CONF:  # each of our files is named by its label
        return None
    contents = map(_read, sorted(folder.glob("*.yaml")))
    return next((content for content in contents if content.get("name") == label), None)


def _read(file: Path) -> dict[str, Any]:
    """Read a preset's file; a broken one, which Hydra reports when it is chosen, gives no values."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(one[key], other[key]) for key in one if isinstance(one[key], dict) and _is_dict(other, key)}
    return {**one, **other, **both}


def _is_dict(values: dict[str, Any], key: str) -> bool:
    return isinstance(values.get(key), dict)
