"""The space of a search: distributions of overrides, the overrides of a point, and the values of a grid."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mmdpo.entry.search_space import SearchSpace, read_space
from mmdpo.errors import UserError


def space(*words: str) -> SearchSpace:
    """Read overrides as the sweeper does."""
    return read_space(OverridesParser.create(), words)


@pytest.mark.parametrize(
    ("word", "distribution"),
    [
        ("lr=interval(1e-6,1e-3)", FloatDistribution(1e-6, 1e-3)),
        ("lr=tag(log,interval(1e-6,1e-3))", FloatDistribution(1e-6, 1e-3, log=True)),
        ("beta=interval(1,5)", FloatDistribution(1, 5)),  # a number, whatever its ends look like
        ("seed=interval(1,5)", IntDistribution(1, 5)),
        ("model.lora.r=tag(log,interval(1,64))", IntDistribution(1, 64, log=True)),
        ("+model.lr.mine=int(interval(1,5))", IntDistribution(1, 5)),
        ("seed=range(0,10,3)", IntDistribution(0, 9, step=3)),  # the end is excluded
        ("beta=range(0.1,0.35,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("method=dpo,ipo", CategoricalDistribution(["dpo", "ipo"])),
        ("bench.tasks=[text],[text,visual]", CategoricalDistribution(["[text]", "[text,visual]"])),
    ],
)
def test_an_override_gives_its_distribution(word: str, distribution: BaseDistribution) -> None:
    assert [*space(word).distributions.values()] == [distribution]


def test_a_point_has_the_fixed_overrides_and_its_values() -> None:
    found = space(
        "beta=9", "lr=interval(0.0,1.0)", "~model.lr.dpo", "beta=range(0.1,0.35,0.1)", "objective=text,visual"
    )
    assert found.objectives == ("text", "visual")
    params = {"beta": 0.1 + 0.2, "lr": 0.1 + 0.2}
    assert found.overrides(params) == ["~model.lr.dpo", "beta=0.3", "lr=0.30000000000000004"]
    assert found.contains({"beta": 0.2, "lr": 0.5})
    assert not found.contains({"beta": 0.2, "lr": 1.5})
    assert not found.contains({"beta": 0.2})


def test_a_grid_has_the_values_of_lists_and_ranges() -> None:
    assert space("beta=range(0.1,0.35,0.1)", "seed=range(0,3)", "method=dpo,ipo").grid() == {
        "beta": [0.1, 0.2, 0.3],
        "seed": [0, 1, 2],
        "method": ["dpo", "ipo"],
    }
    with pytest.raises(UserError, match=r"beta is an interval.*range\("):
        space("beta=interval(0.1,0.4)").grid()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beta=1"], "nothing is searched.*interval"),
        (["beta=interval(2.0,1.0)"], r"beta=interval\(2.0,1.0\)"),
        (["beta=tag(log,interval(0.0,1.0))"], "beta=tag"),
        (["beta=range(3,1)"], "is empty"),
        (["seed=interval(0.5,3)"], "whole numbers"),
        (["beta=1,2", "objective=text,text"], "twice"),
    ],
)
def test_a_wrong_range_is_named(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        space(*words)
