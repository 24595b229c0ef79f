"""Limits of a paid judge: a steady pace, the quota of a day, a budget. Each run obeys those before it too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mmdpo.errors import Stopped

QUOTA_ZONE = ZoneInfo("America/Los_Angeles")
"""Google's day ends at midnight there."""


class Pace:
    """Spaces calls evenly: at most `a_minute` units of whatever is counted, whoever asks first."""

    def __init__(
        self,
        a_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds = 60 / a_minute if a_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._free = clock()
        self._lock = threading.Lock()

    def wait(self, units: float = 1) -> None:
        """Return when the next `units` may be used."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free)
            self._free = start + units * self._seconds
        if start > now:
            self._sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Let nobody begin within the next seconds: the server asked for it."""
        with self._lock:
            self._free = max(self._free, self._clock() + seconds)


def day_began(now: datetime) -> datetime:
    """The last midnight of the quota's zone."""
    local = now.astimezone(QUOTA_ZONE)
    return datetime(local.year, local.month, local.day, tzinfo=QUOTA_ZONE)


def day_ends(now: datetime) -> datetime:
    """The next midnight there; a day of a clock change has 23 or 25 hours."""
    tomorrow = (day_began(now) + timedelta(hours=36)).astimezone(QUOTA_ZONE)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=QUOTA_ZONE)


def day_is_over(now: datetime, done: int, total: int) -> Stopped:
    """What is said when the day's quota is used up."""
    ends = day_ends(now).astimezone(now.tzinfo)
    return Stopped(
        f"the judge's quota of this day is used up: {done} of {total} prompts are answered and kept. Run the "
        f"same line again after {ends:%Y-%m-%d %H:%M %Z}"
    )


def budget_is_spent(spent: float, budget: float, done: int, total: int) -> Stopped:
    """What is said when the next call could cost more than is left."""
    return Stopped(
        f"judge.limits.budget={budget:g} is spent ({spent:.2f}): {done} of {total} prompts are answered and "
        "kept. Run the same line again with a larger judge.limits.budget="
    )
