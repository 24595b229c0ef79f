"""Limits that end the run of several points."""

import pytest

from mmdpo.errors import Outstanding, Stopped
from mmdpo.sweep.stops import raise_stopped


def test_points_that_wait_are_counted_and_equal_reasons_are_told_once():
    raise_stopped([])
    with pytest.raises(Outstanding, match=r"^7 points wait") as stop:
        raise_stopped([Outstanding(f"job {number % 6}") for number in range(7)])
    assert str(stop.value).splitlines()[1:] == [*(f"job {number}" for number in range(5)), "and 1 more"]


def test_a_limit_comes_before_what_others_wait_for():
    with pytest.raises(Stopped, match="quota") as stop:
        raise_stopped([Outstanding("job"), Stopped("quota")])
    assert not isinstance(stop.value, Outstanding)
