"""How long to wait before a busy service is asked again."""

from __future__ import annotations

from tenacity import RetryCallState
from tenacity.wait import wait_base, wait_random_exponential

from mmdpo.clients.answers import Temporary


class RetryAfterOrBackoff(wait_base):
    """As long as the server said, else an exponential backoff with full jitter."""

    def __init__(self, first: float, longest: float) -> None:
        self._jitter = wait_random_exponential(multiplier=first, max=longest)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds to the next try."""
        failure = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(failure, Temporary) and failure.wait is not None:
            return failure.wait
        return float(self._jitter(retry_state))
