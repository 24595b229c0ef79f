"""The parts of the prompts that rounds have."""

from __future__ import annotations

import dataclasses

from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.pipeline.prompt_parts import part_of, part_settings
from mmdpo.records import Prompt


def config(number: int, parts: int | None, seed: int = 0) -> Config:
    found = compose_config([])
    return dataclasses.replace(found, round=number, data=dataclasses.replace(found.data, round_parts=parts, seed=seed))


def test_rounds_share_the_prompts_out_and_keep_their_order() -> None:
    prompts = [Prompt(f"p{number:02}", "Say so.") for number in range(10)]
    parts = [part_of(prompts, config(number, 3)) for number in (1, 2, 3)]
    assert [len(part) for part in parts] == [4, 3, 3]
    assert sorted(one.id for part in parts for one in part) == [one.id for one in prompts]
    assert all(part == [one for one in prompts if one in part] for part in parts)
    assert parts[0] != part_of(prompts, config(1, 3, seed=1))
    assert part_of(prompts, config(2, None)) == prompts
    assert part_settings(config(2, None)) == {}  # the cache of before stays
    assert part_settings(config(2, 3)) == {"part": 2, "of": 3}
