"""Replies of a service, failures to parse them, and the errors that stand for a missing reply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mmdpo.errors import UserError

MOST_LETTERS = 200  # of the name of a model
MOST_TOKENS = 10**9  # of one call; a larger count is no count


@dataclass(frozen=True)
class Answer:
    """A reply as it came.

    Args:
        text: The raw reply.
        tokens_in: Tokens of the request, with its images.
        tokens_out: Tokens of the reply.
        note: How the image was changed before it was sent, if it was.
        truncated: Whether the service stopped at the token limit.
        served: The name of the model as the service reports it; empty if it reports none.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    note: str | None = None
    truncated: bool = False
    served: str = ""

    def __post_init__(self) -> None:
        """Replace halves of surrogate pairs, which no file and no database takes."""
        object.__setattr__(self, "text", _whole_pairs(self.text))
        object.__setattr__(self, "served", _whole_pairs(self.served))


@dataclass(frozen=True)
class ParseFailure:
    """A reply that cannot be used; `reason` is a short name to count by."""

    reason: str


class NoAnswer(Exception):
    """A missing reply, which may have to be paid nevertheless; `raw` is what came in its place."""

    def __init__(self, reason: str, tokens_in: int = 0, *, tokens_out: int = 0, raw: str | None = None) -> None:
        """Take the reason and what is known of the reply.

        Args:
            reason: A short name to count by.
            tokens_in: Tokens of the request.
            tokens_out: Tokens of the reply.
            raw: The reply as it came.
        """
        super().__init__(reason)
        self.reason = reason
        self.tokens_in, self.tokens_out = tokens_in, tokens_out
        self.raw = raw


class Declined(NoAnswer):
    """A refusal to answer this request (blocked, recitation, refusal); a retry does not help."""


class Temporary(NoAnswer):
    """A busy, throttled or unreachable service; retry after `wait` seconds if the server names a time."""

    def __init__(
        self,
        reason: str,
        wait: float | None = None,
        *,
        tokens_in: int = 0,
        tokens_out: int = 0,
        raw: str | None = None,
    ) -> None:
        """Take the reason and what is known of the reply.

        Args:
            reason: A short name to count by.
            wait: Seconds to wait, if the server names a time.
            tokens_in: Tokens of the request.
            tokens_out: Tokens of the reply.
            raw: The reply as it came.
        """
        super().__init__(reason, tokens_in, tokens_out=tokens_out, raw=raw)
        self.wait = wait


class DayIsOver(NoAnswer):
    """A used-up daily quota of the account."""


def token_count(value: Any, text: str = "") -> int:
    """Return a service's count of tokens, or an estimate by the text where it sends none that can be."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
        return value
    return -(-len(text) // 4)


def model_name(value: Any) -> str:
    """Return a service's name of the model that answered; empty where it sends none that can be."""
    return value[:MOST_LETTERS] if isinstance(value, str) else ""


def _whole_pairs(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@contextmanager
def odd_is_temporary(raw: Callable[[], str | None]) -> Iterator[None]:
    """Turn whatever an unexpected reply causes within the block into a Temporary that keeps the reply.

    `raw` returns the reply as it came, and None if none came.
    """
    try:
        yield
    except NoAnswer as failure:
        failure.raw = raw() if failure.raw is None else failure.raw
        raise
    except UserError:
        raise
    except Exception as error:
        paid = token_count(None, raw() or "")  # an estimate for the budget
        raise Temporary(f"odd reply ({type(error).__name__})", tokens_out=paid, raw=raw()) from None
