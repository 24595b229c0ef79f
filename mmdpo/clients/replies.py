"""Parsing of stored replies: the journal keeps them raw, so that a better parser needs no new call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmdpo.clients.answers import Answer, ParseFailure
from mmdpo.clients.journal import ANSWERED, Attempt, Journal
from mmdpo.clients.request import Request

Value = TypeVar("Value")


Parser = Callable[[Request, Answer], Value | ParseFailure]
"""Function that turns a raw reply into a value, or into the reason why it has none. It must not raise."""


@dataclass(frozen=True)
class Found(Generic[Value]):
    """Outcome of the journal's replies to a request.

    Args:
        value: The parsed reply; None if no stored reply can be used.
        reason: Why there is no value.
        reminded: Whether the value was given after a reminder.
        reminder_due: Whether the last reply cannot be parsed and the reminder has not been sent yet.
        text: The raw reply that the value was read from, or the last one if none can be parsed; None for a request
            that the service declined.
        served: The name of the model that gave this reply, as the service reported it; empty if unknown.
    """

    value: Value | None
    reason: str = ""
    reminded: bool = False
    reminder_due: bool = False
    text: str | None = None
    served: str = ""


def find_reply(journal: Journal, request: Request, parser: Parser[Value]) -> Found[Value] | None:
    """Find the newest reply to a request that can be parsed.

    Args:
        journal: The journal to look in.
        request: The request, found by its key.
        parser: Parses the stored replies.

    Returns:
        The parsed reply, or the reason of the last attempt if none can be parsed; None if the request has not been
        answered yet.
    """
    attempts = journal.attempts(request.key)
    if not attempts:
        return None
    for attempt in reversed(attempts):
        parsed = parse_attempt(attempt, request, parser)
        if not isinstance(parsed, ParseFailure):
            return Found(parsed, reminded=attempt.reminded, text=attempt.reply, served=attempt.served)
    last = attempts[-1]
    reason = parse_attempt(last, request, parser)
    assert isinstance(reason, ParseFailure)
    answered = last.outcome == ANSWERED
    return Found(
        value=None,
        reason=reason.reason,
        reminded=last.reminded,
        reminder_due=answered and not last.reminded,
        text=last.reply if answered else None,
        served=last.served,
    )


def parse_attempt(attempt: Attempt, request: Request, parser: Parser[Value]) -> Value | ParseFailure:
    """Parse the reply of an attempt; a declined request is a failure with the service's reason."""
    if attempt.outcome != ANSWERED:
        return ParseFailure(attempt.reason or "declined")
    return parser(request, Answer(attempt.reply or "", truncated=attempt.truncated, served=attempt.served))
