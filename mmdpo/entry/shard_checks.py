"""Checks of the share of a point's samples that a command answers."""

from __future__ import annotations

from collections.abc import Iterator

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.config.shard import parse_shard


def shard_problems(config: Config) -> Iterator[str]:
    """Yield what is wrong with `bench.shard`."""
    try:
        shard = parse_shard(config.bench.shard)
    except ValueError as error:
        yield f"bench.shard={error}"
        return
    if shard is not None and config.stage is not Stage.evaluate:
        yield (
            f"bench.shard={config.bench.shard}: only answers are written in shares; type stage=evaluate, or leave out "
            f"bench.shard for stage={config.stage.value}"
        )
