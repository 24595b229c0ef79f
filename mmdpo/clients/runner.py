"""Requests sent one by one: several calls at a time, within the limits, each reply stored in the journal.

What the journal answers is not asked. A kill loses at most the calls in flight.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from mmdpo.clients.answers import Answer, DayIsOver, Declined, NoAnswer, ParseFailure, Temporary, token_count
from mmdpo.clients.client import Client
from mmdpo.clients.journal import ANSWERED, DECLINED, FAILED, Attempt, Journal, account_of
from mmdpo.clients.limits import Pace, budget_is_spent, day_began, day_is_over
from mmdpo.clients.replies import Found, Parser, find_reply, parse_attempt
from mmdpo.clients.request import Request
from mmdpo.clients.retries import Waits, retry_while_unreachable
from mmdpo.config.schema import JudgeConfig, PriceConfig
from mmdpo.errors import Stopped

GIVING_UP = 10  # requests in a row without an answer, each after all its attempts
AHEAD = 4  # requests in the queue per call in flight


class Ended(Exception):
    """The end of the run, raised in calls that still wait for their turn; it is caught and not reported."""


class LimitReached(Exception):
    """A limit that ends the run; the message is made when the replies that were under way are written."""

    def __init__(self, stopped: Callable[[int, int], Stopped]) -> None:
        """Take what makes the error from the numbers of answered and of all prompts."""
        self.stopped = stopped


class RequestRunner:
    """Runner that sends requests to one model, one call per request."""

    def __init__(
        self,
        judge: JudgeConfig,
        client: Client,
        journal: Journal,
        parser: Parser[Any],
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Read what was asked and spent before from the journal.

        Args:
            judge: The model's limits, prices and retries.
            client: Sends a request.
            journal: Stores the replies.
            parser: Checks whether a reply can be used; if not, the reminder is sent once.
            sleep: Waits for some seconds; by default a wait that ends with the run.
        """
        self.judge, self.client, self.journal, self.parser = judge, client, journal, parser
        self._account = account_of(judge)
        self._ended = threading.Event()  # of the whole run: no call waits for its turn any longer
        sleep = sleep or self._wait
        self._requests = Pace(judge.limits.requests_per_minute, sleep=sleep)
        self._tokens = Pace(judge.limits.tokens_per_minute, sleep=sleep)
        self._sleep, self._waits = sleep, Waits()
        self._lock = threading.Lock()
        self._today = journal.asked_since(self._account, day_began(now()))
        self._spent = journal.spent(self._account)
        self._mean = Mean()
        self._done = self._total = self._running_failures = self._in_flight = 0
        self._failures: dict[str, int] = {}
        self._fatal: BaseException | None = None  # the first error that ends the run

    def ask(self, requests: Iterable[Request], total: int, advance: Callable[[int], None] = lambda n: None) -> None:
        """Get a reply to every request that the journal does not answer yet.

        Args:
            requests: What to ask; consumed once, a few at a time.
            total: Number of requests, for messages.
            advance: Called with the number of requests that were settled.

        Raises:
            Stopped: If the daily quota or the budget ends, or, after all others were asked, if some requests got
                no answer.
            UserError: For what must be fixed first.
        """
        self._total = total
        calls = self.judge.limits.concurrency
        running: dict[Future[None], str] = {}  # the keys of the requests in flight
        with ThreadPoolExecutor(calls, thread_name_prefix="judge") as pool:
            try:
                for request in requests:
                    while request.key in running.values():  # another prompt asks the same question
                        running = self._collected(running, advance)
                    found = find_reply(self.journal, request, self.parser)
                    if found and is_settled(found, self.judge.retry_unscored):
                        self._count()
                        advance(1)
                        continue
                    running[pool.submit(self._settle_or_end, request, found)] = request.key
                    while len(running) >= AHEAD * calls:
                        running = self._collected(running, advance)
                while running:
                    running = self._collected(running, advance)
            except BaseException as error:
                self._ended.set()
                pool.shutdown(wait=True, cancel_futures=True)
                first = self._fatal if isinstance(error, Ended) and self._fatal else error
                if isinstance(first, LimitReached):
                    raise first.stopped(self._done, total) from first.__cause__
                raise first from first.__cause__
        if self._failures:
            why = ", ".join(f"{count} {reason}" for reason, count in self._failures.items())
            raise Stopped(
                f"{sum(self._failures.values())} of {total} prompts got no answer ({why}); the others are "
                "answered and kept. Rerun the same command."
            )

    def _wait(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def _count(self) -> None:
        with self._lock:
            self._done += 1

    def _collected(self, running: dict[Future[None], str], advance: Callable[[int], None]) -> dict[Future[None], str]:
        done, left = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
            advance(1)
        return {future: running[future] for future in left}

    def _settle(self, request: Request, found: Found[Any] | None) -> None:
        """Ask, and ask once more with the reminder after a reply that cannot be parsed."""
        try:
            if found and found.reminder_due:
                reason: str | None = found.reason
            else:
                reason = self._unusable(request, self._ask_retrying(request))
            if reason is not None:
                self._ask_retrying(request.with_reminder(reason))
        except NoAnswer as failure:
            self._failed(failure)
            return
        self._running_failures = 0
        self._count()

    def _settle_or_end(self, request: Request, found: Found[Any] | None) -> None:
        """Settle a request; an error that ends the run keeps the calls that wait for their turn from being made."""
        try:
            self._settle(request, found)
        except BaseException as error:
            with self._lock:
                self._fatal = self._fatal or error
            self._ended.set()
            raise

    def _unusable(self, request: Request, attempt: Attempt) -> str | None:
        """Return why a reply cannot be parsed; None if it can, or if there is none since it was declined."""
        if attempt.outcome != ANSWERED:
            return None
        parsed = parse_attempt(attempt, request, self.parser)
        return parsed.reason if isinstance(parsed, ParseFailure) else None

    def _ask_retrying(self, request: Request) -> Attempt:
        limits = self.judge.limits
        try:
            return retry_while_unreachable(
                lambda: self._ask_once(request),
                *(limits.max_attempts, limits.backoff_seconds, limits.backoff_longest),
                sleep=self._sleep,
                on_retry=lambda failure: self._keep_failure(request, failure),
                retry_after_longest=limits.retry_after_longest,
                waits=self._waits,
            )
        except NoAnswer as failure:
            self._keep_failure(request, failure)
            raise

    def _ask_once(self, request: Request) -> Attempt:
        """Make one call, which is stored unless it raises."""
        self._permit(request)
        try:
            if self._ended.is_set():
                raise Ended
            return self._call(request)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _call(self, request: Request) -> Attempt:
        began = time.monotonic()
        try:
            attempt = attempt_of(self.client.ask(request), request.reminded)
        except Declined as declined:
            attempt = attempt_of(declined, request.reminded)
        except DayIsOver as over:
            raise LimitReached(partial(day_is_over, now())) from over
        except Temporary as busy:
            if busy.wait:
                self._requests.hold(min(busy.wait, self.judge.limits.retry_after_longest))
            raise
        return self._keep(request, attempt, time.monotonic() - began)

    def _keep(self, request: Request, attempt: Attempt, seconds: float) -> Attempt:
        cost = cost_of(attempt.tokens_in, attempt.tokens_out, self.judge.price)
        with self._lock:
            self._spent += cost
            self._mean.add(cost, attempt.tokens_in + attempt.tokens_out)
        attempt = replace(attempt, cost=cost)
        self.journal.record(request, self._account, self.judge.model, attempt, seconds)
        return attempt

    def _keep_failure(self, request: Request, failure: BaseException | None) -> None:
        """Store a call without a usable reply; one that came is paid for, too."""
        attempt = Attempt(FAILED, reason=repr(failure), reminded=request.reminded)
        if isinstance(failure, NoAnswer):
            attempt = attempt_of(failure, request.reminded)
            if attempt.tokens_out and not attempt.tokens_in:
                attempt = replace(attempt, tokens_in=token_count(None, request.text))
            attempt = replace(attempt, cost=cost_of(attempt.tokens_in, attempt.tokens_out, self.judge.price))
            with self._lock:
                self._spent += attempt.cost
        self.journal.record(request, self._account, self.judge.model, attempt, seconds=0.0)

    def _permit(self, request: Request) -> None:
        """Wait for the pace; raise LimitReached at the end of the daily quota or of the budget."""
        limits, budget = self.judge.limits, self.judge.limits.budget
        with self._lock:
            if limits.requests_per_day is not None and self._today >= limits.requests_per_day:
                raise LimitReached(partial(day_is_over, now()))
            due = self._spent + self._mean.cost * (self._in_flight + 1)
            if budget is not None and due > budget:
                raise LimitReached(lambda done, total: budget_is_spent(self._spent, budget, done, total))
            self._today += 1
            self._in_flight += 1
        self._requests.wait()
        self._tokens.wait(self._mean.tokens or len(request.text) / 4)  # about four letters per token

    def _failed(self, failure: NoAnswer) -> None:
        """Count a request without an answer; raise LimitReached if many fail in a row."""
        with self._lock:
            self._failures[failure.reason] = self._failures.get(failure.reason, 0) + 1
            self._running_failures += 1
            if self._running_failures >= GIVING_UP:
                raise LimitReached(partial(_gone, failure.reason))


def _gone(reason: str, done: int, total: int) -> Stopped:
    return Stopped(
        f"the judge does not answer ({reason}): {done} of {total} prompts are answered and kept. Rerun the same "
        "command later."
    )


def is_settled(found: Found[Any], retry_unscored: bool) -> bool:
    """Return whether a request needs no call: its reply is usable, or is unusable for good.

    Args:
        found: What the journal holds.
        retry_unscored: Whether requests without a usable reply are asked again.
    """
    return found.value is not None or not (found.reminder_due or retry_unscored)


def attempt_of(answer: Answer | NoAnswer, reminded: bool) -> Attempt:
    """Return what the journal stores of a reply, a refusal or a failure, without its cost."""
    if isinstance(answer, NoAnswer):
        return Attempt(
            DECLINED if isinstance(answer, Declined) else FAILED,
            answer.raw,
            answer.reason,
            reminded=reminded,
            tokens_in=token_count(answer.tokens_in),
            tokens_out=token_count(answer.tokens_out),
        )
    return Attempt(
        ANSWERED,
        answer.text,
        reminded=reminded,
        truncated=answer.truncated,
        tokens_in=token_count(answer.tokens_in),
        tokens_out=token_count(answer.tokens_out, answer.text),
        note=answer.note,
        served=answer.served,
    )


def cost_of(tokens_in: float, tokens_out: float, price: PriceConfig) -> float:
    """Return the price of tokens that are asked one by one, in the currency of the price table."""
    return (tokens_in * price.input + tokens_out * price.output) / 1e6


@dataclass
class Mean:
    """The mean cost and tokens of the calls so far."""

    calls: int = 0
    cost: float = 0.0
    tokens: float = 0.0

    def add(self, cost: float, tokens: int) -> None:
        """Add one call."""
        self.calls += 1
        self.cost += (cost - self.cost) / self.calls
        self.tokens += (tokens - self.tokens) / self.calls


def now() -> datetime:
    """Return the current time in the machine's own time zone."""
    return datetime.now().astimezone()
