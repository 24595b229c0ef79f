"""What an annotation would take, before it is begun: calls, tokens, money, minutes, days."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mmdpo.clients.journal import Journal
from mmdpo.clients.runner import cost_of
from mmdpo.config.schema import JudgeConfig
from mmdpo.judge.request import Request
from mmdpo.records import Completion, Prompt

LETTERS_A_TOKEN = 4
IMAGE_TOKENS = 258  # Gemini's, of an image of one tile
REPLY_TOKENS, REPLY_TOKENS_EACH = 150, 150  # a calibration; a review and a rating


@dataclass(frozen=True)
class Estimate:
    """Calls that are open and calls that the journal answers, and what the open ones take."""

    calls: int
    answered: int
    tokens_in: int
    tokens_out: int

    def lines(self, judge: JudgeConfig) -> Iterator[str]:
        """The estimate in words; times and money only where the config knows limits and prices."""
        limits, price = judge.limits, judge.price
        yield (
            f"calls: {self.calls} ({self.answered} are answered already), about {self.tokens_in:,} tokens in "
            f"and {self.tokens_out:,} out"
        )
        if price.input or price.output:
            money = cost_of(self.tokens_in, self.tokens_out, price) * (price.batch if judge.batch else 1)
            yield f"money: about {money:.2f} {price.currency} (prices of {price.of or 'the config'})"
        if judge.batch:
            yield "time: that of the service's batches, a day at most; no other limit counts them"
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
            yield f"time: at least {math.ceil(max(minutes))} minutes at judge.limits.*_a_minute"
        if limits.requests_per_day:
            days = math.ceil(self.calls / limits.requests_per_day)
            yield f"days: {days} at judge.limits.requests_per_day={limits.requests_per_day}"


def assumed(prompts: Iterable[Prompt], count: int, longest: int) -> Iterator[Completion]:
    """Completions to count with while there are none: a quarter of the longest that are allowed."""
    for prompt in prompts:
        for index in range(count):
            yield Completion(prompt.id, index, f"{index}" + "abc " * (longest // 4))


def estimate(requests: Iterable[Request], journal: Journal, judge: JudgeConfig) -> Estimate:
    """What the requests would take that the journal does not answer.

    A reply's length is the mean of the journal's so far, else a guess.
    """
    calls = answered = tokens_in = tokens_out = 0
    mean = journal.mean_tokens_out(judge.name)
    for request in requests:
        if journal.find(request.key) is not None:
            answered += 1
            continue
        calls += 1
        more_in, more_out = tokens_of(request, mean)
        tokens_in, tokens_out = tokens_in + more_in, tokens_out + more_out
    return Estimate(calls, answered, tokens_in, tokens_out)


def tokens_of(request: Request, mean: float | None) -> tuple[int, int]:
    """What one request would take, about; `mean` is that of the replies so far."""
    tokens_in = len(request.text) // LETTERS_A_TOKEN + (IMAGE_TOKENS if request.image else 0)
    return tokens_in, round(mean or REPLY_TOKENS + REPLY_TOKENS_EACH * len(request.texts))
