"""Rounds as points: known in advance, and resolved to the adapter of the round before."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from mmdpo.config.choices import AdapterUse
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.pipeline.sampling import generator_identity
from mmdpo.points.outcome import Outcome
from mmdpo.points.point import baselines, point, points_of
from mmdpo.points.rounds import is_ready, last_rounds, resolved, with_rounds
from mmdpo.points.status import finish
from tests.support.adapters import write_adapter


def rounds_of(folder: Path, count: int, *overrides: str) -> list[Config]:
    return with_rounds([compose_config([f"out={folder}", "study=s", f"rounds={count}", *overrides])])


def trained(config: Config, content: str) -> Path:
    """Write the training of a point."""
    folder = point(config).folder
    write_adapter(folder / "adapter", content)
    write_json(folder / "training.json", {"seconds": 1.0, "adapter": adapter_fingerprint(folder / "adapter")})
    return folder / "adapter"


def test_each_round_is_a_point_and_the_first_is_that_of_a_command_without_rounds(tmp_path: Path) -> None:
    three = [point(config) for config in rounds_of(tmp_path, 3)]
    two = [point(config) for config in rounds_of(tmp_path, 2)]
    (plain,) = [point(config) for config in rounds_of(tmp_path, 1)]
    assert three[0].identity == plain.identity
    assert [one.name for one in three[:2]] == [one.name for one in two]
    assert len({one.identity.hex for one in three}) == 3
    assert [f"-round{number}-" in one.name for number, one in enumerate(three, 1)] == [False, True, True]
    assert len({base.folder for config in rounds_of(tmp_path, 3) for base in baselines(config)}) == 2
    assert len(rounds_of(tmp_path, 3, "data_scale=0")) == 1


@pytest.mark.parametrize(
    ("override", "counts"),
    [
        ("model.adapter_use=merge", [False, True]),
        ("method.reference=base", [False, True]),
        ("beta=0.3", [True, True]),
    ],
)
def test_the_start_of_later_rounds_is_part_of_them_alone(tmp_path: Path, override: str, counts: list[bool]) -> None:
    usual, other = (rounds_of(tmp_path, 2, *more) for more in ([], [override]))
    found = [point(a).identity.hex != point(b).identity.hex for a, b in zip(usual, other, strict=True)]
    assert found == counts
    assert len({p.folder for p in points_of([*usual, *other])}) == 2 + sum(counts)  # a sweep over both shares the rest


def test_a_round_begins_with_the_adapter_of_the_one_before(tmp_path: Path) -> None:
    first, second, third = rounds_of(tmp_path, 3)
    assert resolved(first) == first
    assert not is_ready(second)
    with pytest.raises(UserError, match="stage=train"):
        resolved(second)
    adapter = trained(first, "1")
    found = resolved(second)
    assert (found.generator.adapter, found.model.adapter) == (str(adapter), str(adapter))
    assert is_ready(second)
    assert not is_ready(third)
    sampled = dataclasses.replace(second, model=dataclasses.replace(second.model, adapter_use=AdapterUse.sample))
    assert resolved(sampled).model.adapter is None
    write_adapter(adapter, "other")
    with pytest.raises(UserError, match="changed since it was trained"):
        resolved(second)
    write_json(adapter.parent / "result.json", {"scores": {}})
    finish(adapter.parent)
    shutil.rmtree(adapter)
    with pytest.raises(UserError, match=f"delete {adapter.parent} and rerun"):  # a rerun alone would not train it
        resolved(second)


def test_rounds_have_other_seeds_for_the_same_prompts(tmp_path: Path) -> None:
    first, second, third = rounds_of(tmp_path, 3)
    with pytest.raises(ValueError, match="resolved"):
        generator_identity(second)
    trained(first, "1")
    trained(second, "1")
    seeds = [generator_identity(resolved(config))["decoding"]["seed"] for config in (first, second, third)]
    assert seeds[0] == first.data.seed
    assert len({*seeds}) == 3


def test_a_chain_has_the_outcome_of_its_last_round_or_of_its_first_failure(tmp_path: Path) -> None:
    asked = [compose_config([f"out={tmp_path}", *line]) for line in (["rounds=2"], ["data_scale=0"], ["rounds=2"])]
    p = point(asked[0])
    results = [Outcome(p, 1.0), Outcome(p, 2.0), Outcome(p, 0.5), Outcome(p, error="a"), Outcome(p, error="b")]
    found = last_rounds(asked, [*results, Outcome(p, error="base")])
    assert [(one.objective, one.error) for one in found] == [(2.0, None), (0.5, None), (None, "a"), (None, "base")]


def test_the_number_of_a_round_is_not_typed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rounds=2"):
        with_rounds([compose_config([f"out={tmp_path}", "round=2"])])


def test_rounds_may_have_parts_of_the_prompts(tmp_path: Path) -> None:
    all_of_them = rounds_of(tmp_path, 3)
    parts = rounds_of(tmp_path, 3, "data.round_parts=3")
    assert len({point(config).name for config in [*all_of_them, *parts]}) == 6
    assert point(rounds_of(tmp_path, 2, "data.round_parts=3")[1]).name == point(parts[1]).name
