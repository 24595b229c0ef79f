"""Keys that a command sets and no point reads: such a command would do something else than it says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from mmdpo.config.schema import GROUPS, Config
from mmdpo.entry.unread_settings import unread_settings
from mmdpo.errors import UserError


class TypedKeys:
    """The keys that the points of a command set, and those that a point does not read.

    Keys of presets and of the user's own files do not count. Of points without training only the keys of their
    benchmarks do: `data_scale=0` measures the base of the same command.
    """

    def __init__(self) -> None:
        """Start without points."""
        self._parser = OverridesParser.create()
        self._values: dict[str, list[str]] = {}
        self._reasons: dict[str, str] = {}
        self._read: set[str] = set()
        self._points: list[tuple[dict[str, str], Mapping[str, str]]] = []
        self._last: tuple[DictConfig | None, tuple[str, ...], dict[str, str]] = (None, (), {})

    def add(self, node: DictConfig, config: Config, overrides: Sequence[str]) -> None:
        """Note a point: its composed config with references, the same checked, and its overrides.

        Points that differ only in axes may share `node`.
        """
        typed = {key: text for override in overrides for key, text in _set_keys(self._parser.parse_override(override))}
        if config.is_base:
            typed = {key: text for key, text in typed.items() if key.startswith("bench.")}
        if self._last[0] is not node or self._last[1] != tuple(typed):
            self._last = node, tuple(typed), unread_settings(node, config, typed)
        unread = self._last[2]
        for key, text in typed.items():
            values = self._values.setdefault(key, [])
            if text not in values:
                values.append(text)
        self._read |= typed.keys() - unread.keys()
        self._reasons |= unread
        self._points.append((typed, unread))

    def check(self) -> None:
        """Raise UserError for keys that no point reads, and for points that differ in unread keys alone."""
        problems = {key: reason for key, reason in self._reasons.items() if key not in self._read}
        for key in {key for group in self._equal_points() for key in group}:
            problems.setdefault(key, f"points that differ in it alone are equal: {self._reasons[key]}")
        self._refuse(problems)

    def _refuse(self, problems: Mapping[str, str]) -> None:
        if problems:
            raise UserError(
                "\n".join(f"{key}={','.join(self._values[key])} is not read: {why}" for key, why in problems.items())
            )

    def _equal_points(self) -> Iterator[list[str]]:
        """Yield the keys in which points differ that are equal in all keys that they read."""
        first: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        for typed, unread in self._points:
            read = tuple(sorted((key, value) for key, value in typed.items() if key not in unread))
            other = first.setdefault(read, typed)
            if differing := [key for key in unread if other.get(key) != typed[key]]:
                yield differing


class BlockKeys(TypedKeys):
    """The keys that the points of one block of a command set, of which its own must be read by a point of it.

    The others, which hold for several blocks, are checked with those of the whole command.
    """

    def __init__(self, every: TypedKeys, own: Collection[str]) -> None:
        """Start without points.

        Args:
            every: The keys of the whole command.
            own: The keys that only this block sets.
        """
        super().__init__()
        self._every, self._own = every, own

    def add(self, node: DictConfig, config: Config, overrides: Sequence[str]) -> None:
        """Note a point of the block, and of the command."""
        super().add(node, config, overrides)
        self._every.add(node, config, overrides)

    def check(self) -> None:
        """Raise UserError for keys of the block that none of its points reads."""
        unread = {key: why for key, why in self._reasons.items() if key in self._own and key not in self._read}
        self._refuse(unread)


def _set_keys(override: Override) -> Iterator[tuple[str, str]]:
    """Yield each dotted key that an override sets, with its value as typed; chosen presets are keys of their group."""
    key = override.package or override.key_or_group
    if override.is_delete() or key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return
    value: Any = override.value()
    if isinstance(value, dict) and key not in GROUPS:
        yield from ((f"{key}.{name}", str(one)) for name, one in _leaves(value))
    else:
        yield key, (override.input_line or "").partition("=")[2]


def _leaves(value: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        if isinstance(one, dict) and one:
            yield from _leaves(one, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", one
