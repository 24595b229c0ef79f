"""Limits of a paid model: request pace, daily quota and budget. Earlier runs count as well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mmdpo.errors import Stopped

QUOTA_ZONE = ZoneInfo("America/Los_Angeles")
"""Time zone of Google's daily quota, which is reset at midnight."""


class Pace:
    """Even spacing of calls, across threads."""

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Allow the first call at once.

        Args:
            per_minute: Units allowed per minute (requests or tokens); None for no limit.
            clock: Returns the time in seconds.
            sleep: Waits for some seconds.
        """
        self._seconds = 60 / per_minute if per_minute else 0.0
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
        """Start no call within the next seconds, because the server asked for it."""
        with self._lock:
            self._free = max(self._free, self._clock() + seconds)


def day_began(now: datetime) -> datetime:
    """Return the last midnight of the quota's zone."""
    local = now.astimezone(QUOTA_ZONE)
    return datetime(local.year, local.month, local.day, tzinfo=QUOTA_ZONE)


def day_ends(now: datetime) -> datetime:
    """Return the next midnight of the quota's zone; a day of a clock change has 23 or 25 hours."""
    tomorrow = (day_began(now) + timedelta(hours=36)).astimezone(QUOTA_ZONE)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=QUOTA_ZONE)


def day_is_over(now: datetime, done: int, total: int) -> Stopped:
    """Return the error of a used-up daily quota, with the time of its reset in the user's time zone."""
    ends = day_ends(now).astimezone(now.tzinfo)
    return Stopped(
        f"the judge's daily quota is used up: {done} of {total} prompts are answered and kept. Rerun the same "
        f"command after {ends:%Y-%m-%d %H:%M %Z}"
    )


def budget_is_spent(spent: float, budget: float, done: int, total: int) -> Stopped:
    """Return the error of a budget that the next call could exceed."""
    return Stopped(
        f"judge.limits.budget={budget:g} is spent ({spent:.2f}): {done} of {total} prompts are answered and "
        "kept. Rerun the same command with a larger judge.limits.budget="
    )
