"""Estimate of what open requests would take: calls, tokens, money, minutes, days."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass

from mmdpo.clients.journal import Journal, account_of
from mmdpo.clients.request import Request
from mmdpo.clients.runner import cost_of
from mmdpo.config.schema import JudgeConfig
from mmdpo.records import Completion, Prompt

LETTERS_PER_TOKEN = 4
IMAGE_TOKENS = 258  # Gemini's, of an image of one tile


@dataclass(frozen=True)
class Estimate:
    """Numbers of open and of answered calls, and the tokens that the open ones would take."""

    calls: int
    answered: int
    tokens_in: int
    tokens_out: int

    def __add__(self, other: Estimate) -> Estimate:
        """Add the numbers of two estimates."""
        both = zip(astuple(self), astuple(other), strict=True)
        return Estimate(*(one + another for one, another in both))

    def lines(self, judge: JudgeConfig) -> Iterator[str]:
        """Yield the estimate as text; time and money only if the config has limits and prices."""
        limits, price = judge.limits, judge.price
        yield (
            f"calls: {self.calls} ({self.answered} are answered already), about {self.tokens_in:,} tokens in "
            f"and {self.tokens_out:,} out"
        )
        if price.input or price.output:
            money = cost_of(self.tokens_in, self.tokens_out, price) * (price.batch if judge.batch else 1)
            yield f"money: about {money:.2f} {price.currency} (prices of {price.of or 'the config'})"
        if judge.batch:
            yield "time: that of the service's batches, at most a day; no other limit counts them"
            return
        minutes = [
            amount / limit
            for amount, limit in (
                (self.calls, limits.requests_per_minute),
                (self.tokens_in + self.tokens_out, limits.tokens_per_minute),
            )
            if limit
        ]
        if minutes:
            yield f"time: at least {math.ceil(max(minutes))} minutes at judge.limits.*_per_minute"
        if limits.requests_per_day:
            days = math.ceil(self.calls / limits.requests_per_day)
            yield f"days: {days} at judge.limits.requests_per_day={limits.requests_per_day}"


def assumed(prompts: Iterable[Prompt], count: int, longest: int) -> Iterator[Completion]:
    """Yield placeholder completions for an estimate before sampling.

    Args:
        prompts: The prompts.
        count: Completions per prompt.
        longest: The most tokens of a completion; a quarter of them is assumed.
    """
    for prompt in prompts:
        for index in range(count):
            yield Completion(prompt.id, index, f"{index}" + "abc " * (longest // 4))


def estimate(
    requests: Iterable[Request],
    journal: Journal,
    judge: JudgeConfig,
    is_answered: Callable[[Request], bool] | None = None,
) -> Estimate:
    """Estimate what the requests would take that the journal does not answer.

    Args:
        requests: All requests of a stage.
        journal: The journal; the mean length of its replies is used, if it has any.
        judge: The model that would be asked.
        is_answered: Whether a request needs no call; None means that the journal has a reply.
    """
    is_answered = is_answered or (lambda request: bool(journal.attempts(request.key)))
    calls = answered = tokens_in = tokens_out = 0
    means: dict[str, float | None] = {}
    for request in requests:
        if is_answered(request):
            answered += 1
            continue
        calls += 1
        if request.purpose not in means:
            means[request.purpose] = journal.mean_tokens_out(account_of(judge), request.purpose)
        more_in, more_out = tokens_of(request, means[request.purpose])
        tokens_in, tokens_out = tokens_in + more_in, tokens_out + more_out
    return Estimate(calls, answered, tokens_in, tokens_out)


def tokens_of(request: Request, mean: float | None) -> tuple[int, int]:
    """Estimate the tokens of a request and of its reply; `mean` is the length of the replies so far."""
    tokens_in = len(request.text) // LETTERS_PER_TOKEN + IMAGE_TOKENS * len(request.images)
    return tokens_in, round(mean or request.expected_tokens)
