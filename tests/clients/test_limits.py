"""Pace, daily quota and budget, with a simulated clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.clients.limits import QUOTA_ZONE, Pace, day_began, day_ends, day_is_over


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def pace(a_minute: float | None) -> tuple[Pace, Clock]:
    clock = Clock()
    return Pace(a_minute, clock, clock.sleep), clock


@given(st.floats(0.5, 6000), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_minute_has_more_and_a_waiting_one_has_them_all(a_minute: float, latencies: list[float]) -> None:
    steady, clock = pace(a_minute)
    starts = []
    for latency in latencies:
        clock.now += latency
        steady.wait()
        starts.append(clock.now)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(gap >= 60 / a_minute - 1e-6 for gap in gaps)
    for gap, latency in zip(gaps, latencies[1:], strict=True):
        assert gap == pytest.approx(max(60 / a_minute, latency), abs=1e-6)


def test_units_take_their_share() -> None:
    steady, clock = pace(60_000)
    for _ in range(3):
        steady.wait(30_000)
    assert clock.now == 100 + 60


def test_without_a_limit_nothing_waits_but_for_the_servers_word() -> None:
    free, clock = pace(None)
    for _ in range(100):
        free.wait()
    assert clock.now == 100
    free.hold(7)
    free.wait()
    assert clock.now == 107


def test_the_day_is_that_of_the_pacific() -> None:
    summer = datetime(2026, 7, 1, 6, 30, tzinfo=UTC)  # 23:30 of the day before
    assert day_began(summer) == datetime(2026, 6, 30, 7, tzinfo=UTC)
    assert day_ends(summer) == datetime(2026, 7, 1, 7, tzinfo=UTC)
    winter = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert day_ends(winter) == datetime(2026, 1, 2, 8, tzinfo=UTC)


@given(st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)))
def test_a_day_has_23_to_25_hours_and_holds_its_moment(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    began, ends = day_began(moment), day_ends(moment)
    assert began <= moment < ends
    assert timedelta(hours=23) <= ends.astimezone(UTC) - began.astimezone(UTC) <= timedelta(hours=25)
    assert ends.astimezone(QUOTA_ZONE).hour == 0


def test_the_stop_says_when_to_come_back_in_the_users_own_time() -> None:
    stop = day_is_over(datetime(2026, 7, 1, 12, tzinfo=UTC), 250, 6000)
    assert "250 of 6000" in str(stop)
    assert "after 2026-07-02 07:00 UTC" in str(stop)
    assert stop.exit_code == 75
