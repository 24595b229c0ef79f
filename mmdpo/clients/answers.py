"""An answer of a service, and the ways in which there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A reply as it came, its tokens, and what was done to the image before it was sent.

    `cut` says that the service ran out of tokens in the midst of it.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    note: str | None = None
    cut: bool = False


class NoAnswer(Exception):
    """There is no reply to read; `tokens_in` may be paid for all the same."""

    def __init__(self, reason: str, tokens_in: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tokens_in = tokens_in


class Declined(NoAnswer):
    """The service will not answer this (blocked, recited, refused): asking again is of no use now."""


class Temporary(NoAnswer):
    """Busy, throttled or unreachable: worth another try, after `wait` seconds where the server says so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class DayIsOver(NoAnswer):
    """The server's quota of the day is used up."""
