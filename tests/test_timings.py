"""Times of work, as they are kept for predictions."""

from __future__ import annotations

from contextlib import suppress

import pytest

from mmdpo import timings
from mmdpo.timings import read_timings, timed, timings_file, timings_of


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> tuple[float, float]:
        return self.now, 2 * self.now


@pytest.fixture
def clock(monkeypatch, tmp_path) -> Clock:
    clock = Clock()
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    monkeypatch.setattr(timings, "_clock", clock)
    monkeypatch.setattr(timings, "_seen", set())
    monkeypatch.setattr(timings, "_completed", set())
    monkeypatch.setattr(timings, "_recording", timings._Recording())
    return clock


def test_what_an_inner_block_takes_is_not_counted_twice(clock):
    with timings_of("shape", "study"), timed("outer", rows=3):
        clock.now += 1
        with timed("inner"):
            clock.now += 10
        with timed("inner") as block:
            clock.now += 5
            block.amounts["steps"] = 2
        clock.now += 2
    found = [(one.kind, one.seconds, one.cpu_seconds, one.amounts) for one in read_timings("shape")]
    assert found == [
        ("inner", 10, 20, {"first": 1}),
        ("inner", 5, 10, {"first": 0, "steps": 2}),
        ("outer", 3, 6, {"first": 1, "rows": 3}),
    ]
    assert {one.source for one in read_timings("shape")} == {"study"}


def test_the_first_work_of_a_part_is_marked(clock):
    with timings_of("shape", "study"):
        for kind in ("train/pairs", "train/answers", "load"):
            with timed(kind):
                clock.now += 1
    assert [(one.kind, one.amounts) for one in read_timings("shape")] == [
        ("train/pairs", {"first": 1}),
        ("train/answers", {"first": 0}),
        ("load", {"first": 1}),
    ]


def test_what_a_process_pays_for_once_is_kept_for_all_models(clock, monkeypatch):
    monkeypatch.setattr(timings, "_age", lambda: clock.now)
    clock.now = 20  # 25 s until the first point, of which 3 are timed
    with timings_of("shape", "study"):
        with timed("data/build"):
            clock.now += 3
        clock.now += 2
        for _ in range(2):
            with timed(timings.POINT, points=1):
                clock.now += 1
                with timed(timings.LIBRARIES, processes=1):
                    clock.now += 4
    of_process = [(one.kind, one.seconds, one.cpu_seconds) for one in read_timings(timings.ANY_MODEL)]
    assert of_process == [(timings.PROCESS, 22, 44), (timings.LIBRARIES, 4, 8)]
    assert [(one.kind, one.seconds) for one in read_timings("shape")][:2] == [("data/build", 3), (timings.POINT, 1)]


def test_nothing_is_kept_of_unfinished_or_unnamed_work(clock):
    with timed("no shape"):
        clock.now += 1
    with timings_of("shape", "study"):
        with suppress(KeyError), timed("outer"), timed("inner"):
            raise KeyError
        with timed("continued") as block:
            block.recorded = False
    assert not timings_file("shape").exists()


def test_an_outer_source_takes_precedence(clock):
    with timings_of("shape", timings.MEASUREMENT), timings_of("other", "probe"), timed("work"):
        clock.now += 1
    assert [one.source for one in read_timings("shape")] == [timings.MEASUREMENT]
    assert not read_timings("other")


def test_damaged_lines_are_left_out_and_a_full_file_is_halved(clock, monkeypatch):
    monkeypatch.setattr(timings, "MAX_BYTES", 1)
    with timings_of("shape", "study"):
        for _ in range(3):
            with timed("work"):
                clock.now += 1
    assert len(timings_file("shape").read_text().splitlines()) == 2
    with timings_file("shape").open("a") as file:
        file.write('{"kind": "work", "amou\n[1]\n')
    assert len(read_timings("shape")) == 2
