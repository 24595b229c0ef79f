"""Retries of calls to a busy or unreachable service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from mmdpo.clients.answers import Temporary

Result = TypeVar("Result")


class RetryAfterOrBackoff(wait_base):
    """Wait as long as the server asked for, or else with exponential backoff and full jitter."""

    def __init__(self, first: float, longest: float) -> None:
        """Set the bounds of the waits.

        Args:
            first: Bound of the first wait, in seconds; it doubles with each attempt.
            longest: Bound of every wait, in seconds.
        """
        self._jitter = wait_random_exponential(multiplier=first, max=longest)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        failure = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(failure, Temporary) and failure.wait is not None:
            return failure.wait
        return float(self._jitter(retry_state))


def retry_while_unreachable(
    call: Callable[[], Result],
    max_attempts: int,
    backoff_seconds: float,
    backoff_longest: float,
    sleep: Callable[[float], None] = time.sleep,
    on_retry: Callable[[BaseException | None], None] = lambda failure: None,
) -> Result:
    """Return the result of a call, which is repeated while it raises Temporary.

    Args:
        call: What to do; it is safe to repeat.
        max_attempts: Attempts in all.
        backoff_seconds: Bound of the first wait, if the server names no time.
        backoff_longest: Bound of every wait.
        sleep: Waits for some seconds.
        on_retry: Gets the error before each wait.

    Raises:
        Temporary: That of the last attempt.
    """

    def note(state: RetryCallState) -> None:
        on_retry(state.outcome.exception() if state.outcome else None)

    attempts = Retrying(
        stop=stop_after_attempt(max_attempts),
        wait=RetryAfterOrBackoff(backoff_seconds, backoff_longest),
        retry=retry_if_exception_type(Temporary),
        before_sleep=note,
        sleep=sleep,
        reraise=True,
    )
    return attempts(call)
