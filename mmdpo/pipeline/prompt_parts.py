"""Parts of the prompts: with `data.round_parts`, each round answers prompts that no other round has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdpo.config.schema import Config
from mmdpo.records import Prompt
from mmdpo.seeds import hashed_number


def part_settings(config: Config) -> dict[str, Any]:
    """Return what the prompts of a config's round depend on; nothing if each round has all prompts."""
    parts = config.data.round_parts
    return {} if parts is None else {"part": config.round, "of": parts}


def part_of(prompts: Sequence[Prompt], config: Config) -> list[Prompt]:
    """Return the prompts of a config's round, in their order.

    The parts are as equal in size as can be. Which part a prompt is in follows from its id and `data.seed`.
    """
    parts = config.data.round_parts
    if parts is None:
        return [*prompts]
    mixed = sorted(prompts, key=lambda prompt: hashed_number(f"part {config.data.seed} {prompt.id}"))
    chosen = {prompt.id for prompt in mixed[config.round - 1 :: parts]}
    return [prompt for prompt in prompts if prompt.id in chosen]
