"""What a planned study can see, as the dry run prints it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.evaluation.power import Design, Variances
from mmdpo.pipeline.power_lines import needs, planned, power_lines, rounded_up
from mmdpo.points.identity import Role
from mmdpo.points.point import Point
from tests.support.studies import make_study


@pytest.fixture(scope="module")
def composed() -> Config:
    return compose_config(["study=planned", "bench.tasks=[text]", "bench.items=30"])


@pytest.fixture
def points(tmp_path: Path, composed: Config) -> list[Point]:
    """A base, and two results of which one has two seeds and the other one."""
    config = replace(composed, out=str(tmp_path))
    of = [(0.1, 0), (0.1, 1), (0.2, 0)]
    trained = [Point(replace(config, beta=beta, seed=seed), Role.trained, f"{beta}-{seed}") for beta, seed in of]
    return [Point(replace(config, data_scale=0.0), Role.base, "base"), *trained]


def test_seeds_are_one_result_and_each_result_is_compared_on_each_benchmark(points: list[Point]):
    (one,) = planned(points)
    assert (one.task, one.seeds, one.comparisons) == ("text", 1, 2)
    assert planned(points[:1]) == []


def test_earlier_answers_take_the_place_of_declared_values(points: list[Point], tmp_path: Path):
    (declared,) = power_lines(points)
    assert "30 items" in declared
    assert "study of the miniature" in declared
    make_study(tmp_path / "earlier", [{"beta": 0.1, "seed": seed} for seed in (0, 1)])
    (measured,) = power_lines(points)
    assert f"2 points of {tmp_path / 'earlier'}" in measured


def test_assumptions_and_gains_beyond_the_scale_are_said(points: list[Point]):
    """Two seeds of one result on two items, where nothing was measured."""
    bench = replace(points[1].config.bench, items=2)
    line, assumed = power_lines([replace(p, config=replace(p.config, bench=bench)) for p in points[1:3]])
    assert "no gain that its scale allows" in line
    assert "assumed" in assumed


def test_a_benchmark_whose_samples_cannot_be_read_is_unknown(points: list[Point]):
    bench = replace(points[1].config.bench, tasks=["mm_vet"], root="/nowhere")
    (line,) = power_lines([replace(points[1], config=replace(points[1].config, bench=bench))])
    assert line.startswith("visible on mm_vet: unknown")
    assert "bench.files.mm_vet_questions" in line


@pytest.mark.parametrize(
    ("variances", "seeds", "expected"),
    [
        (Variances(1.0, 0.0, 0.0), 1, "needs 790 items"),
        (Variances(0.01, 5.0, 0.0), 3, "seeds or"),
        (Variances(1.0, 1.0, 0.001), 3, "seeds and"),
        (Variances(0.0, 0.0, 50.0), 3, "out of reach"),
    ],
)
def test_what_a_difference_needs(variances: Variances, seeds: int, expected: str):
    """One seed and no noise: (2.80 / 0.1) ** 2 items."""
    assert expected in needs(variances, Design(100, seeds), 0.1, "items")


@pytest.mark.parametrize(("value", "expected"), [(0.2801, 0.29), (0.28, 0.28), (3, 3.0), (881, 890.0), (0.0, 0.0)])
def test_two_digits_are_rounded_up(value: float, expected: float):
    assert rounded_up(value) == expected
