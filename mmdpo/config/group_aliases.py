"""Short spellings of groups that are nested in others: `bench.judge=NAME` chooses a file of conf/judge.

Hydra's own spelling is `judge@bench.judge=NAME`. `hydra.sweeper.sampler=NAME` and `hydra.sweeper.pruner=NAME` are
short for `hydra/sweeper/sampler=NAME` and `hydra/sweeper/pruner=NAME`, the groups of a search. Until version 0.2
`bench.judge` was a name and no group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmdpo.config.free_text import quoted_names

SHORT, LONG = "bench.judge=", "judge@bench.judge="
OF_SEARCHES = {f"hydra.sweeper.{group}=": f"hydra/sweeper/{group}=" for group in ("sampler", "pruner")}


def spelled_out(words: Iterable[str]) -> list[str]:
    """Return the words of a command with Hydra's own spelling of each group, and its quotes around {names}."""
    return [_spelled_out(quoted_names(word)) for word in words]


def as_typed(words: Iterable[str]) -> list[str]:
    """Return the words of a command with the short spelling of each group."""
    return [SHORT + word.removeprefix(LONG) if word.startswith(LONG) else word for word in words]


def with_judge_group(values: dict[str, Any]) -> dict[str, Any]:
    """Return a config as nested mappings, with the group of settings where an earlier version had a judge's name."""
    bench = values.get("bench")
    if not isinstance(bench, dict) or not isinstance(judge := bench.get("judge"), str):
        return values
    return {**values, "bench": {**bench, "judge": {"name": judge, "client": judge}}}


def _spelled_out(word: str) -> str:
    key, sign, preset = word.partition("=")
    if key + sign in OF_SEARCHES and not preset.startswith("{"):
        return OF_SEARCHES[key + sign] + preset
    value = word.removeprefix(SHORT)
    return LONG + value if word.startswith(SHORT) and not value.startswith("{") else word
