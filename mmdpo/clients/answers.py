"""Replies of a service, failures to parse them, and the errors that stand for a missing reply."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A reply as it came.

    Args:
        text: The raw reply.
        tokens_in: Tokens of the request, with its images.
        tokens_out: Tokens of the reply.
        note: How the image was changed before it was sent, if it was.
        truncated: Whether the service stopped at the token limit.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    note: str | None = None
    truncated: bool = False


@dataclass(frozen=True)
class ParseFailure:
    """A reply that cannot be used; `reason` is a short name to count by."""

    reason: str


class NoAnswer(Exception):
    """A missing reply; `tokens_in` may have to be paid nevertheless."""

    def __init__(self, reason: str, tokens_in: int = 0) -> None:
        """Take the reason and the tokens of the request."""
        super().__init__(reason)
        self.reason = reason
        self.tokens_in = tokens_in


class Declined(NoAnswer):
    """A refusal to answer this request (blocked, recitation, refusal); a retry does not help."""


class Temporary(NoAnswer):
    """A busy, throttled or unreachable service; retry after `wait` seconds if the server names a time."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        """Take the reason and the seconds to wait, if the server names a time."""
        super().__init__(reason)
        self.wait = wait


class DayIsOver(NoAnswer):
    """A used-up daily quota of the account."""
