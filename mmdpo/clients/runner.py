"""Asks a judge many things: several calls at a time, within its limits, every reply kept in a journal.

What the journal answers is not asked. A kill loses at most the calls in flight.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from mmdpo.clients.answers import Answer, DayIsOver, Declined, NoAnswer, Temporary
from mmdpo.clients.client import Client
from mmdpo.clients.journal import Attempt, Journal
from mmdpo.clients.limits import Pace, budget_is_spent, day_began, day_is_over
from mmdpo.clients.retries import RetryAfterOrBackoff
from mmdpo.config.schema import JudgeConfig, PriceConfig
from mmdpo.errors import Stopped
from mmdpo.judge.request import Request, reminded

Read = Callable[[Answer, Request], Attempt]
"""What a reply says: an attempt whose outcome is `scored`, or `unscored` with its reason."""

GIVING_UP = 10  # requests in a row without an answer, after all their tries
TWICE = "asked twice"
AHEAD = 4  # requests in line for each call in flight


class Ended(Exception):
    """The run was ended while a call waited for its turn; nobody looks at it."""


class RequestRunner:
    """Puts requests to one judge; `read` makes something of its replies."""

    def __init__(
        self,
        judge: JudgeConfig,
        client: Client,
        journal: Journal,
        read: Read,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.judge, self.client, self.journal, self.read = judge, client, journal, read
        self._ended = threading.Event()  # of the whole run: nobody waits for a turn any more
        sleep = sleep or self._wait
        self._requests = Pace(judge.limits.requests_per_minute, sleep=sleep)
        self._tokens = Pace(judge.limits.tokens_per_minute, sleep=sleep)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._today = journal.asked_since(judge.name, day_began(now()))
        self._spent = journal.spent(judge.name)
        self._mean = Mean()
        self._done = self._total = self._running_failures = self._in_flight = 0
        self._failures: dict[str, int] = {}

    def ask(self, requests: Iterable[Request], total: int, advance: Callable[[int], None] = lambda n: None) -> None:
        """Get an answer to every request that the journal does not answer yet.

        Raises Stopped where the day's quota or the budget ends, and, after all others were asked, where
        some got no answer; UserError for what must be mended first.
        """
        self._total = total
        calls = self.judge.limits.concurrency
        running: dict[Future[None], str] = {}  # the keys that are asked just now
        with ThreadPoolExecutor(calls, thread_name_prefix="judge") as pool:
            try:
                for request in requests:
                    while request.key in running.values():  # the same question of another prompt
                        running = self._collected(running, advance)
                    found = self.journal.find(request.key)
                    if found and self._is_answer(found):
                        self._count()
                        advance(1)
                        continue
                    running[pool.submit(self._settle, request, found)] = request.key
                    while len(running) >= AHEAD * calls:
                        running = self._collected(running, advance)
                while running:
                    running = self._collected(running, advance)
            except BaseException:
                self._ended.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        if self._failures:
            why = ", ".join(f"{count} {reason}" for reason, count in self._failures.items())
            raise Stopped(
                f"{sum(self._failures.values())} of {total} prompts got no answer ({why}); the others are "
                "answered and kept. Run the same line again."
            )

    def _wait(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def _is_answer(self, found: Attempt) -> bool:
        if reminder_is_due(found):
            return False
        return not (found.outcome == "unscored" and self.judge.retry_unscored)

    def _count(self) -> None:
        with self._lock:
            self._done += 1

    def _collected(self, running: dict[Future[None], str], advance: Callable[[int], None]) -> dict[Future[None], str]:
        done, left = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
            advance(1)
        return {future: running[future] for future in left}

    def _settle(self, request: Request, found: Attempt | None) -> None:
        """Ask until there is a reading, a refusal, or no more tries; one more time after an unread reply."""
        try:
            attempt = found if found and reminder_is_due(found) else self._asked(request, request.text)
            if attempt.outcome == "unscored" and attempt.reply is not None:  # it was answered, unreadably
                attempt = self._asked(request, reminded(request, attempt.reason or ""), TWICE)
        except NoAnswer as failure:
            self._failed(failure)
            return
        self._running_failures = 0
        self._count()

    def _asked(self, request: Request, text: str, mark: str = "") -> Attempt:
        limits = self.judge.limits

        def tried(state: RetryCallState) -> None:
            assert state.outcome is not None
            self._keep_failure(request, state.outcome.exception())

        tries = Retrying(
            stop=stop_after_attempt(limits.max_attempts),
            wait=RetryAfterOrBackoff(limits.backoff_seconds, limits.backoff_longest),
            retry=retry_if_exception_type(Temporary),
            before_sleep=tried,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return tries(self._once, request, text, mark)
        except NoAnswer as failure:
            self._keep_failure(request, failure)
            raise

    def _once(self, request: Request, text: str, mark: str) -> Attempt:
        """One call, journaled unless it raises; `mark` is added to the step that reads it."""
        self._permit(text)
        try:
            if self._ended.is_set():
                raise Ended
            return self._called(request, text, mark)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _called(self, request: Request, text: str, mark: str) -> Attempt:
        began = time.monotonic()
        try:
            answer = self.client.ask(request, text)
        except Declined as declined:
            attempt = Attempt("unscored", reason=declined.reason, tokens_in=declined.tokens_in)
        except DayIsOver as over:
            raise day_is_over(now(), self._done, self._total) from over
        except Temporary as busy:
            if busy.wait:
                self._requests.hold(busy.wait)
            raise
        else:
            attempt = reading(self.read, answer, request, mark)
        return self._keep(request, attempt, time.monotonic() - began)

    def _keep(self, request: Request, attempt: Attempt, seconds: float) -> Attempt:
        cost = cost_of(attempt.tokens_in, attempt.tokens_out, self.judge.price)
        with self._lock:
            self._spent += cost
            self._mean.add(cost, attempt.tokens_in + attempt.tokens_out)
        attempt = replace(attempt, cost=cost)
        self.journal.record(request, self.judge.name, self.judge.rubric, attempt, seconds)
        return attempt

    def _keep_failure(self, request: Request, failure: BaseException | None) -> None:
        reason = failure.reason if isinstance(failure, NoAnswer) else repr(failure)
        attempt = Attempt("failed", reason=reason)
        self.journal.record(request, self.judge.name, self.judge.rubric, attempt, seconds=0.0)

    def _permit(self, text: str) -> None:
        """Wait for the pace; Stopped where the day or the money has come to its end."""
        limits = self.judge.limits
        with self._lock:
            if limits.requests_per_day is not None and self._today >= limits.requests_per_day:
                raise day_is_over(now(), self._done, self._total)
            due = self._spent + self._mean.cost * (self._in_flight + 1)
            if limits.budget is not None and due > limits.budget:
                raise budget_is_spent(self._spent, limits.budget, self._done, self._total)
            self._today += 1
            self._in_flight += 1
        self._requests.wait()
        self._tokens.wait(self._mean.tokens or len(text) / 4)  # four letters are about a token

    def _failed(self, failure: NoAnswer) -> None:
        """Count a request without an answer; where one after the other fails, stop."""
        with self._lock:
            self._failures[failure.reason] = self._failures.get(failure.reason, 0) + 1
            self._running_failures += 1
            if self._running_failures >= GIVING_UP:
                raise Stopped(
                    f"the judge does not answer ({failure.reason}): {self._done} of {self._total} prompts "
                    "are answered and kept. Run the same line again later."
                )


def reading(read: Read, answer: Answer, request: Request, mark: str = "") -> Attempt:
    """What `read` makes of an answer, with all that is kept of it; `mark` is added to the step."""
    attempt = read(answer, request)
    return replace(
        attempt,
        step=", ".join(filter(None, [attempt.step, mark])) or None,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        note=answer.note,
        reply=answer.text,
    )


def cost_of(tokens_in: float, tokens_out: float, price: PriceConfig) -> float:
    """Money for tokens that are asked one by one."""
    return (tokens_in * price.input + tokens_out * price.output) / 1e6


def reminder_is_due(found: Attempt) -> bool:
    """Whether a reply could not be read and the reminder is still due: the run ended between the two."""
    return found.outcome == "unscored" and found.reply is not None and found.step is None


@dataclass
class Mean:
    """The mean cost and tokens of a call so far."""

    calls: int = 0
    cost: float = 0.0
    tokens: float = 0.0

    def add(self, cost: float, tokens: int) -> None:
        """One more call."""
        self.calls += 1
        self.cost += (cost - self.cost) / self.calls
        self.tokens += (tokens - self.tokens) / self.calls


def now() -> datetime:
    """This moment, in the machine's own zone."""
    return datetime.now().astimezone()
