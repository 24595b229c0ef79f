"""A test of the patterns by which an adapter names its layers, before PEFT matches them without a limit of time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmdpo.errors import UserError
from mmdpo.files import fingerprint
from mmdpo.models.bounded import TooSlow, run_bounded

PATTERNS = ("target_modules", "exclude_modules", "layers_pattern", "modules_to_save")
KEYS_ARE_PATTERNS = ("rank_pattern", "alpha_pattern")

_passed: set[str] = set()
"""Fingerprints of the patterns and names that this process has tested: adapters of a sweep have the same."""


def require_quick_patterns(adapter: object, config: Mapping[str, Any], modules: Iterable[str]) -> None:
    """Match an adapter's patterns with the names of a model's modules, within a limit of time.

    Args:
        adapter: Folder of the adapter, for the error message.
        config: Content of its `adapter_config.json`.
        modules: Names of the base model's modules.

    Raises:
        UserError: A pattern is not a regular expression, or takes too long.
    """
    patterns, names = [*_patterns(config)], [*modules]
    if all(re.fullmatch(r"[\w.]*", pattern) for _, pattern in patterns):
        return  # plain names
    if (key := fingerprint([patterns, names])) in _passed:
        return
    try:
        reason = run_bounded(lambda: _match(patterns, names))
    except TooSlow as error:
        reason = f"to match its {' or '.join(sorted({name for name, _ in patterns}))} with the model: {error}"
    if reason:
        raise UserError(
            f"{adapter}/adapter_config.json: {reason}. Type generator.adapter= with an adapter that PEFT or "
            "this program wrote"
        )
    _passed.add(key)


def _patterns(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in (*PATTERNS, *KEYS_ARE_PATTERNS):
        value = config.get(key) or ()
        for pattern in [value] if isinstance(value, str) else value:
            yield key, str(pattern)


def _match(patterns: Iterable[tuple[str, str]], names: Iterable[str]) -> str | None:
    names = list(names)
    for key, pattern in patterns:
        try:
            whole, end = re.compile(pattern), re.compile(rf"(.*\.)?({pattern})$")  # PEFT's two ways
        except (re.error, OverflowError, RecursionError) as error:
            return f"{key} is not a regular expression ({error})"
        for name in names:
            whole.fullmatch(name)
            end.match(name)
    return None
