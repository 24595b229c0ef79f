"""Blocks of a study file: their points, what the command line replaces, and messages that name the block."""

from __future__ import annotations

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mmdpo.config.schema import CONF
from mmdpo.entry.blocks import PointBlock, chunks, compose_blocks, split_into_blocks
from mmdpo.errors import UserError

TABLE = [{"method": "dpo", "beta": "0.1,0.2", "lr": 1e-5}, {"method": "sft,steerlm"}]


def split(blocks: Any, typed: list[str], params: list[str] | None = None) -> list[list[str]]:
    """Return the points of the blocks, each as one line."""
    given = None if blocks is None else OmegaConf.create(blocks)
    found = split_into_blocks(OverridesParser.create(), params or [], given, typed)
    return [[" ".join(point) for point in block.points] for block in found]


@pytest.mark.parametrize(
    ("typed", "params", "points"),
    [
        ([], [], [["method=dpo beta=0.1 lr=1e-05", "method=dpo beta=0.2 lr=1e-05"], ["method=sft", "method=steerlm"]]),
        (["seed=3"], [], [["method=dpo beta=0.1 lr=1e-05 seed=3", "method=dpo beta=0.2 lr=1e-05 seed=3"],
                          ["method=sft seed=3", "method=steerlm seed=3"]]),
        (["beta=1"], [], [["method=dpo beta=1 lr=1e-05"], ["method=sft", "method=steerlm"]]),
        (["beta=1", "lr=2"], ["lr=3,4"], [["lr=2 method=dpo beta=1"], ["lr=2 method=sft", "lr=2 method=steerlm"]]),
        (["beta=1"], ["lr=3"], [["lr=1e-05 method=dpo beta=1"], ["lr=3 method=sft", "lr=3 method=steerlm"]]),
    ],
)  # fmt: skip
def test_a_typed_key_replaces_that_of_the_blocks_which_name_it(
    typed: list[str], params: list[str], points: list[list[str]]
) -> None:
    assert split(TABLE, typed, params) == points


def test_a_command_without_blocks_is_one_product() -> None:
    assert split(None, ["beta=1"], ["beta=3", "seed=0,1"]) == [["beta=1 seed=0", "beta=1 seed=1"]]
    assert split([{"data.sampling.top_p": None, "logprob_avg": True}], []) == [
        ["data.sampling.top_p=null logprob_avg=True"]
    ]


@pytest.mark.parametrize(
    ("blocks", "typed", "words"),
    [
        (TABLE, ["method=ipo"], r"method=ipo: block 1 \(method=dpo beta=0.1,0.2 lr=1e-05\) .*drop it"),
        (TABLE, ["seed=interval(0,1)"], r"seed=interval\(0,1\): .*hydra/sweeper=optuna"),
        ([{"seed": "interval(0,1)"}], [], "hydra/sweeper=optuna"),
        ([{"beta": [0.1, 0.2]}], [], r"block 1: beta: .*as in beta: 0.1,0.2"),
        ([["beta"]], [], r"hydra\.sweeper\.blocks: must be a list"),
        ([], [], r"hydra\.sweeper\.blocks: must be a list"),
        ({"beta": 1}, [], r"hydra\.sweeper\.blocks: must be a list"),
    ],
)
def test_a_wrong_block_is_refused(blocks: Any, typed: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        split(blocks, typed)


def composed(blocks: list[dict[str, Any]], typed: list[str]) -> list[str]:
    """Compose the points as the launcher does; returns their methods."""

    def with_hydra(overrides: list[str]) -> DictConfig:
        return compose("config", overrides=overrides)

    with initialize_config_dir(str(CONF), version_base="1.3"):
        split = split_into_blocks(OverridesParser.create(), [], blocks, typed)
        return [config.method.name for config in compose_blocks(with_hydra, split)]


def test_a_key_of_a_block_must_be_read_there_and_one_of_the_command_line_anywhere() -> None:
    assert composed(TABLE, ["pairs.margin=3"]) == ["dpo", "dpo", "sft", "steerlm"]
    with pytest.raises(UserError, match=r"block 2 \(method=sft beta=0.1\): .*beta"):
        composed([{"method": "dpo"}, {"method": "sft", "beta": 0.1}], [])
    with pytest.raises(UserError, match=r"block 2 \(method=sft pairs.margin=3\): pairs.margin=3 is not read"):
        composed([{"method": "dpo", "pairs.margin": 3}, {"method": "sft", "pairs.margin": 3}], [])
    with pytest.raises(UserError, match=r"^pairs.cut=drop is not read"):
        composed([{"method": "sft"}], ["pairs.cut=drop"])
    with pytest.raises(UserError, match=r"block 1 \(betta=1\): betta: unknown key; did you mean beta"):
        composed([{"betta": 1}], [])


def test_batches_hold_at_most_so_many_points_of_all_blocks() -> None:
    blocks = [PointBlock([["a"], ["b"], ["c"]], "one"), PointBlock([["d"], ["e"]], "two")]
    assert [[(b.name, [*b.points]) for b in batch] for batch in chunks(blocks, 2)] == [
        [("one", [["a"], ["b"]])],
        [("one", [["c"]]), ("two", [["d"]])],
        [("two", [["e"]])],
    ]
    assert [*chunks(blocks, None)] == [blocks]
