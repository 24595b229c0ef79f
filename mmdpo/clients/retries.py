"""Retries of calls to a busy or unreachable service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from mmdpo.clients.answers import Temporary
from mmdpo.console import print_line

RETRY_AFTER_LONGEST = 600.0  # seconds
SAID = 10.0  # seconds; shorter waits are not mentioned

Result = TypeVar("Result")


class Waits:
    """Announces what is waited for, once for all threads that wait for the same."""

    def __init__(self) -> None:
        """Start without a wait."""
        self._lock = threading.Lock()
        self._until = 0.0

    def announce(self, seconds: float, failure: Temporary) -> None:
        """Print how long a call waits because the service asked for it."""
        until = time.monotonic() + seconds
        with self._lock:
            if seconds < SAID or until < self._until + 1:
                return
            self._until = until
        asked = "" if failure.wait == seconds else f"; the service asks for {failure.wait:.6g} s"
        print_line(f"the service is busy ({failure.reason}): waiting {seconds:.0f} s{asked}")


class RetryAfterOrBackoff(wait_base):
    """Wait as long as the server asked for, within a limit, or else with exponential backoff and full jitter."""

    def __init__(self, first: float, longest: float, retry_after_longest: float = RETRY_AFTER_LONGEST) -> None:
        """Set the bounds of the waits.

        Args:
            first: Bound of the first wait, in seconds; it doubles with each attempt.
            longest: Bound of every wait without the server's word, in seconds.
            retry_after_longest: Bound of the waits that the server asks for, in seconds.
        """
        self._jitter = wait_random_exponential(multiplier=first, max=longest)
        self._longest = retry_after_longest

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        failure = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(failure, Temporary) and failure.wait is not None:
            return min(failure.wait, self._longest)
        return float(self._jitter(retry_state))


def retry_while_unreachable(
    call: Callable[[], Result],
    max_attempts: int,
    backoff_seconds: float,
    backoff_longest: float,
    sleep: Callable[[float], None] = time.sleep,
    on_retry: Callable[[BaseException | None], None] = lambda failure: None,
    retry_after_longest: float = RETRY_AFTER_LONGEST,
    waits: Waits | None = None,
) -> Result:
    """Return the result of a call, which is repeated while it raises Temporary.

    Args:
        call: What to do; it is safe to repeat.
        max_attempts: Attempts in all.
        backoff_seconds: Bound of the first wait, if the server names no time.
        backoff_longest: Bound of every wait.
        sleep: Waits for some seconds.
        on_retry: Gets the error before each wait.
        retry_after_longest: Bound of the waits that the server asks for.
        waits: Announces long waits; shared by the threads of a run.

    Raises:
        Temporary: That of the last attempt.
    """
    waits = waits or Waits()

    def note(state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        on_retry(failure)
        if isinstance(failure, Temporary) and failure.wait is not None and state.next_action is not None:
            waits.announce(state.next_action.sleep, failure)

    attempts = Retrying(
        stop=stop_after_attempt(max_attempts),
        wait=RetryAfterOrBackoff(backoff_seconds, backoff_longest, retry_after_longest),
        retry=retry_if_exception_type(Temporary),
        before_sleep=note,
        sleep=sleep,
        reraise=True,
    )
    return attempts(call)
