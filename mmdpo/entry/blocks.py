"""Blocks of a study file: several products of axes in one command, such as DPO over its betas and SFT once.

A block names keys with their values as `hydra.sweeper.params` does. `params` holds for each block that does not name
the key itself. A key of the command line replaces the one of each block that names it; it holds for all blocks if
`params` or no block names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from mmdpo.config.group_aliases import spelled_out
from mmdpo.config.schema import GROUPS, Config
from mmdpo.console import print_line
from mmdpo.entry.compose_points import compose_points
from mmdpo.entry.typed_keys import BlockKeys, TypedKeys
from mmdpo.errors import UserError

BLOCKS_KEY = "hydra.sweeper.blocks"


@dataclass(frozen=True)
class PointBlock:
    """Points that are one product of axes.

    Attributes:
        points: The overrides of each point.
        name: The number and the keys of the block, for messages; empty for a command without blocks.
        keys: The keys that the block itself names, and the command line does not.
    """

    points: Sequence[Sequence[str]]
    name: str = ""
    keys: frozenset[str] = frozenset()


def split_into_blocks(
    parser: OverridesParser, params: Sequence[str], blocks: Any, typed: Sequence[str]
) -> list[PointBlock]:
    """Return the points of a command as blocks; one without a name if the study lists none.

    Args:
        parser: Hydra's parser of overrides.
        params: The overrides of `hydra.sweeper.params`.
        blocks: The value of `hydra.sweeper.blocks`.
        typed: The overrides of the command line.

    Raises:
        UserError: The value is no list of blocks, a sweep lists no values, or the command line chooses a preset of a
            group that a block chooses itself.
    """
    params, typed = spelled_out(params), spelled_out(typed)
    if blocks is None:
        return [PointBlock(_product(parser, [*params, *typed]))]
    words = _words_of(blocks)
    keys = [{_key(word) for word in block} for block in words]
    names = [f"block {number} ({' '.join(block) or 'no keys'})" for number, block in enumerate(words, 1)]
    anywhere = set().union(*keys) - {_key(word) for word in params}
    for word in typed:
        owners = [name for name, own in zip(names, keys, strict=True) if _key(word) in own]
        if owners and _key(word).partition("@")[0] in GROUPS:
            raise UserError(
                f"{word}: {owners[0]} chooses it in the study file; drop it, or copy the file and change it"
            )
        if owners and _key(word) in anywhere and len(owners) < len(names):
            print_line(f"{word}: holds for {', '.join(owners)}")
    found = []
    for name, block, own in zip(names, words, keys, strict=True):
        held = [word for word in typed if _key(word) in own or _key(word) not in anywhere]
        replaced = {_key(word) for word in held}
        found.append(PointBlock(_product(parser, [*params, *block, *held]), name, frozenset(own - replaced)))
    return found


def compose_blocks(compose: Callable[[list[str]], DictConfig], blocks: Sequence[PointBlock]) -> Iterator[Config]:
    """Compose and check the config of each point of the blocks.

    Args:
        compose: Hydra's composition of a list of overrides.
        blocks: The blocks of a command.

    Yields:
        The checked configs, in the order of the blocks and their points.

    Raises:
        UserError: An override or a value is wrong, a key of a block is read by none of its points, or one of the
            command line by no point. The message names the block.
    """
    every = TypedKeys()
    for block in blocks:
        try:
            yield from compose_points(compose, block.points, BlockKeys(every, block.keys))
        except UserError as error:
            raise UserError(f"{block.name}: {error}" if block.name else str(error)) from error
    every.check()


def chunks(blocks: Sequence[PointBlock], size: int | None) -> Iterator[list[PointBlock]]:
    """Split blocks into batches of at most `size` points; None gives one batch."""
    batch: list[PointBlock] = []
    room = size or sum(len(block.points) for block in blocks)
    left = room
    for block in blocks:
        points = list(block.points)
        while points:
            batch.append(PointBlock(points[:left], block.name, block.keys))
            points, left = points[left:], left - len(points[:left])
            if not left:
                yield batch
                batch, left = [], room
    if batch:
        yield batch


def _words_of(blocks: Any) -> list[list[str]]:
    """Return the overrides that each block holds."""
    if (
        not blocks
        or not isinstance(blocks, Sequence)
        or isinstance(blocks, str)
        or not all(isinstance(b, Mapping) for b in blocks)
    ):
        raise UserError(f"{BLOCKS_KEY}: must be a list of blocks, each `key: values` lines, as in - {{method: sft}}")
    for number, block in enumerate(blocks, 1):
        for key, value in block.items():
            if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
                raise UserError(
                    f"{BLOCKS_KEY}: block {number}: {key}: must be one value, or values with commas between them, as "
                    f"in {key}: 0.1,0.2"
                )
    return [spelled_out(f"{key}={_text(value)}" for key, value in block.items()) for block in blocks]


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _product(parser: OverridesParser, words: Sequence[str]) -> list[list[str]]:
    overrides = parser.parse_overrides([*words])
    for override in overrides:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise UserError(
                f"{override.input_line}: only a searching sweeper can choose values from an interval; add "
                "hydra/sweeper=optuna, or list the values"
            )
    (points,) = BasicSweeper.split_arguments(overrides, None)
    return points


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
