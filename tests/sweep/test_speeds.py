"""Speeds fitted to measured times, and predictions from them."""

from __future__ import annotations

import pytest

from mmdpo.sweep.speeds import ASSUMED_SPREAD, LEAST_SPREAD, Work, fit_speeds, predict, source_text, with_first
from mmdpo.timings import FIRST, MEASUREMENT, Timing


def timing(seconds: float, source: str = MEASUREMENT, kind: str = "train", **amounts: float) -> Timing:
    return Timing(kind, amounts, seconds, 2 * seconds, source)


def of(steps: float, letters: float, first: float) -> dict[str, float]:
    return {"steps": steps, "letters": letters, FIRST: first}


def test_costs_per_unit_are_found_again():
    def seconds(steps: float, letters: float, first: float) -> float:
        return 0.5 * steps + 0.001 * letters + 4 * first

    known = [(2, 1000, 1), (6, 9000, 0), (8, 2000, 0), (3, 7000, 0)]
    speeds = fit_speeds([timing(seconds(*one), **of(*one)) for one in known])
    found = predict([Work("train", of(100, 50_000, 1))], speeds)
    assert found.wall == {"training": pytest.approx(104)}
    assert found.cpu == {"training": pytest.approx(208)}
    assert found.error == LEAST_SPREAD
    assert found.sources == {MEASUREMENT: 4}


def test_one_time_alone_predicts_in_proportion_with_a_large_error():
    speeds = fit_speeds([timing(3, sets=1, batches=2, answers=120, kind="answers/text")])
    found = predict([Work("answers/text", {"sets": 1, "batches": 20, "answers": 1200})], speeds)
    assert found.wall == {"evaluation": pytest.approx(30)}
    assert found.error == ASSUMED_SPREAD


def test_times_that_disagree_widen_the_error():
    speeds = fit_speeds([timing(seconds, steps=10) for seconds in (8, 10, 12)])
    assert 0.15 < predict([Work("train", {"steps": 10})], speeds).error < 0.25


def test_work_of_an_unknown_kind_is_counted_and_not_predicted():
    found = predict([Work("judge/oracle", {"tasks": 1}), Work("judge/oracle", {"tasks": 2})], {})
    assert (found.wall, found.unknown) == ({}, {"judge/oracle": 2})


def test_each_process_pays_once_for_its_first_work_of_a_kind():
    jobs = [[Work("train", {}), Work("train", {}), Work("load", {})], [Work("train", {})]]
    assert [(one.kind, one.amounts[FIRST]) for one in with_first(jobs)] == [
        ("train", 1),
        ("train", 0),
        ("load", 1),
        ("train", 1),
    ]


def test_sources_are_named():
    assert source_text({"nano": 3, MEASUREMENT: 9}) == "a measurement and earlier points of study nano"
