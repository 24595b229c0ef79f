"""Speeds fitted to measured times, and predictions from them."""

from __future__ import annotations

import pytest

from mmdpo.sweep.speeds import (
    ASSUMED_SPREAD,
    LEAST_SPREAD,
    Work,
    fit_speeds,
    newest_first,
    of_one_process,
    predict,
    relative_of,
    source_text,
)
from mmdpo.timings import FIRST, LIBRARIES, MEASUREMENT, Timing


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
    assert found.wall == {"training": pytest.approx(104, rel=0.02)}
    assert found.cpu == {"training": pytest.approx(208, rel=0.02)}
    assert found.error == pytest.approx(LEAST_SPREAD)
    assert found.sources == [MEASUREMENT]


def test_one_time_alone_predicts_in_proportion_with_a_large_error():
    speeds = fit_speeds([timing(3, sets=1, batches=2, answers=120, kind="answers/text")])
    found = predict([Work("answers/text", {"sets": 1, "batches": 20, "answers": 1200})], speeds)
    assert found.wall == {"evaluation": pytest.approx(30, rel=0.1)}
    assert found.error == ASSUMED_SPREAD


def test_times_that_disagree_widen_the_error():
    speeds = fit_speeds([timing(seconds, steps=10) for seconds in (8, 10, 12)])
    assert 0.15 < predict([Work("train", {"steps": 10})], speeds).error < 0.25


def test_work_of_an_unknown_kind_is_counted_and_not_predicted():
    found = predict([Work("judge/oracle", {"tasks": 1}), Work("judge/oracle", {"tasks": 2})], {})
    assert (found.wall, found.unknown) == ({}, {"judge/oracle": 2})


def test_a_unit_that_was_never_measured_is_counted_and_not_free():
    speeds = fit_speeds([timing(1, steps=10, images=0)])
    works = [Work("train", {"steps": 10, "images": 3, FIRST: 1}), Work("train", {"steps": 10, "images": 0})]
    assert predict(works, speeds).unknown == {"train (images)": 1}


def test_units_that_times_cannot_tell_apart_share_the_cost():
    speeds = fit_speeds([timing(rows / 10, letters=100 * rows, images=rows) for rows in (10, 20, 40)])
    costs = speeds["train"].wall
    assert 100 * costs["letters"] == pytest.approx(costs["images"])
    assert predict([Work("train", {"letters": 5000, "images": 50})], speeds).wall["training"] == pytest.approx(
        5, rel=0.01
    )


def test_work_after_a_rung_counts_in_part_for_the_least():
    speeds = fit_speeds([timing(1, steps=10)])
    works = [Work("train", {"steps": 10}), Work("train", {"steps": 30}, share=0.5)]
    most, least = predict(works, speeds), predict(works, speeds, least=True)
    assert most.wall["training"] == pytest.approx(4, rel=0.01)
    assert least.wall["training"] / most.wall["training"] == pytest.approx(25 / 40)


def test_a_training_that_was_never_measured_borrows_from_the_nearest_kind_and_says_so():
    speeds = fit_speeds([timing(seconds, steps=10, kind="train/pairs") for seconds in (10, 10)])
    found = predict([Work("train/pairs/sft+sigmoid", {"steps": 20}), Work("train/pairs", {"steps": 20})], speeds)
    assert found.borrowed == {"train/pairs/sft+sigmoid": "train/pairs"}
    assert found.wall["training"] == pytest.approx(40, rel=0.01)
    assert LEAST_SPREAD < found.error < ASSUMED_SPREAD


@pytest.mark.parametrize(
    ("kind", "known", "relative"),
    [
        ("train/pairs/sft", ("train/answers", "train/pairs", "train/pairs/labelled"), "train/pairs"),
        ("train/answers", ("answers/text", "train/pairs"), "train/pairs"),
        ("train/answers", ("answers/text", "point"), None),
        ("answers/mmhal", ("answers/text",), None),  # answers to another task may be ten times as long
    ],
)
def test_the_kind_to_borrow_from_is_the_one_most_alike(kind, known, relative):
    assert relative_of(kind, known) == relative


def test_a_process_pays_once_for_its_libraries_and_its_first_work_of_a_part():
    works = [
        Work(LIBRARIES, {}),
        Work("train/pairs", {}),
        Work(LIBRARIES, {}),
        Work("train/answers", {}),
        Work("load", {}),
    ]
    assert [(one.kind, one.amounts[FIRST]) for _, one in of_one_process(("", work) for work in works)] == [
        (LIBRARIES, 1),
        ("train/pairs", 1),
        ("train/answers", 0),
        ("load", 1),
    ]


@pytest.mark.parametrize(
    ("sources", "text"),
    [
        ([MEASUREMENT], "a measurement"),
        (["nano", MEASUREMENT], "a measurement and earlier points of study nano"),
        (["b", "a"], "earlier points of studies b and a"),
        (["d", "c", MEASUREMENT, "b", "a"], "a measurement and earlier points of studies d, c and 2 more"),
    ],
)
def test_the_newest_sources_are_named_and_the_others_counted(sources, text):
    assert source_text(sources) == text


def test_a_source_is_as_new_as_its_last_time():
    of_shape = [timing(1, source) for source in ("a", MEASUREMENT, "b", "a")]
    assert newest_first([of_shape, [timing(1, "c")]]) == ["a", "b", MEASUREMENT, "c"]
