"""The correlation between rung and end: where it comes from, and which points count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.files import write_json
from mmdpo.points.point import Point, points_of
from mmdpo.points.rungs import RungScore, write_rung
from mmdpo.sweep.rung_correlation import ASSUMED, correlation_with_end


def finished(p: Point, number: int, at_rung: float, at_end: float, split: str = "dev", measured: str = "m") -> None:
    folder = p.study / f"p{number}"
    write_rung(folder, RungScore(0.25, 3, {"text": {"value": at_rung}}, measured))
    write_json(folder / "result.json", {"scores": {"text": {"value": at_end}}, "labels": {"text": {"split": split}}})


@pytest.fixture
def p(tmp_path: Path) -> Point:
    [found] = points_of([dataclasses.replace(compose_config(["search=halving"]), out=str(tmp_path), study="s")])
    write_rung(found.folder, RungScore(0.25, 3, {"text": {"value": 1.0}}, "m"))
    return found


def test_the_correlation_is_assumed_until_ten_points_on_the_same_samples_are_finished(p: Point) -> None:
    search = p.config.search
    for number in range(9):
        finished(p, number, float(number), float(number))
    finished(p, 9, 9.0, 0.0, split="test")
    finished(p, 10, 10.0, 0.0, measured="other samples")
    assert (found := correlation_with_end(p, 0.25, search, "text")).value == ASSUMED
    assert found.origin == "assumed"
    finished(p, 11, 9.0, 0.0)  # 0..9 and 0..8,0: products of deviations sum to 42, their squares to 82.5 and 74.4
    found = correlation_with_end(p, 0.25, search, "text")
    assert found.value == pytest.approx(42 / (82.5 * 74.4) ** 0.5)
    assert "10 finished points" in found.origin
    typed = correlation_with_end(p, 0.25, dataclasses.replace(search, correlation=0.5), "text")
    assert (typed.value, typed.origin) == (0.5, "search.correlation")


@pytest.mark.parametrize(("end", "value"), [(lambda n: 5.0, ASSUMED), (lambda n: -1.0 * n, 0.0)])
def test_scores_without_order_or_against_it_give_no_false_trust(
    p: Point, end: Callable[[int], float], value: float
) -> None:
    for number in range(10):
        finished(p, number, float(number), end(number))
    assert correlation_with_end(p, 0.25, p.config.search, "text").value == value
