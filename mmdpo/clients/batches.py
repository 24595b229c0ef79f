"""Asks a judge by batches, at a lower price: jobs are submitted, left alone, and collected by a later run.

Each job is noted in the journal before it is created, so that a kill at any moment pays for nothing twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable
from uuid import uuid4

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from mmdpo.clients.answers import Answer, Declined, NoAnswer, Temporary
from mmdpo.clients.client import Client
from mmdpo.clients.estimate import tokens_of
from mmdpo.clients.journal import Asked, Attempt, Job, Journal
from mmdpo.clients.limits import budget_is_spent
from mmdpo.clients.retries import RetryAfterOrBackoff
from mmdpo.clients.runner import TWICE, Read, RequestRunner, cost_of, reading, reminder_is_due
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import print_line
from mmdpo.errors import Stopped, UserError
from mmdpo.judge.request import Request, reminded
from mmdpo.records import Prompt

LARGEST = 18_000_000  # bytes of a job; Gemini takes 20 MB inline
RUNNING, DONE = "running", "done"

T = TypeVar("T")


@dataclass(frozen=True)
class Packed:
    """A request as the service takes it within a job, its bytes, and what was done to its image."""

    content: Any
    size: int
    note: str | None = None


@dataclass(frozen=True)
class Look:
    """A job as it stands: `running`, `done` or how else it ended, and its responses with their keys."""

    state: str
    responses: Sequence[tuple[str | None, Answer | NoAnswer]] = ()


@runtime_checkable
class Service(Protocol):
    """A judge's client that has batches. Its methods raise a NoAnswer, or UserError."""

    def packed(self, request: Request, text: str) -> Packed:
        """The request, asked with `text`, as a part of a job."""
        ...

    def create(self, display_name: str, requests: Sequence[Packed]) -> str:
        """Create a job; returns the service's name for it."""
        ...

    def named(self, display_names: Collection[str]) -> Mapping[str, str]:
        """The service's names of those jobs that it has."""
        ...

    def look(self, name: str) -> Look:
        """How a job stands."""
        ...


class BatchRunner:
    """Puts requests to one judge by jobs; `read` makes something of its replies."""

    def __init__(
        self,
        judge: JudgeConfig,
        client: Client,
        journal: Journal,
        read: Read,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not isinstance(client, Service):
            raise UserError(f"judge.batch=true: judge={judge.name} has no batches; choose judge=gemini")
        self.judge, self.journal, self.read = judge, journal, read
        self.service: Service = client
        self._sleep = sleep

    def ask(self, requests: Iterable[Request], total: int, advance: Callable[[int], None] = lambda n: None) -> None:
        """Collect what is finished, and submit what the journal does not answer and no job asks.

        Raises Stopped as long as there is something to wait for; UserError for what must be mended first.
        """
        try:
            self._adopt()
            for job in self._jobs(RUNNING):
                if job.reads == self.read.__name__:  # others are left to the stage that can read them
                    self._collect(job)
        except NoAnswer as failure:
            raise Stopped(
                f"the judge does not answer ({failure.reason}): its jobs cannot be collected now. Run the "
                "same line again later."
            ) from failure
        submission = Submission(self, total)
        asked_anew = {one.key for job in self._jobs("collected") for one in job.asked}
        for request in requests:
            found = self.journal.find(request.key)
            if found is None or reminder_is_due(found):
                submission.add(request, found)
            elif found.outcome == "unscored" and self.judge.retry_unscored and request.key not in asked_anew:
                submission.add(request, None)
            else:
                submission.done += 1
                advance(1)
        submission.finish()

    def _jobs(self, state: str) -> list[Job]:
        return self.journal.jobs(self.judge.name, self.judge.base_url, state)

    def _adopt(self) -> None:
        """Find the jobs that a run created and did not live to name; forget those that it did not create."""
        unnamed = [job for job in self._jobs(RUNNING) if job.name is None]
        if not unnamed:
            return
        names = self._patiently(lambda: self.service.named({job.display_name for job in unnamed}))
        for job in unnamed:
            if job.display_name in names:
                self.journal.change_job(replace(job, name=names[job.display_name]))
            else:
                self.journal.forget_job(job)

    def _collect(self, job: Job) -> None:
        """Read a job into the journal if it has ended: in one transaction, for its replies are paid."""
        name = job.name or ""
        look = self._patiently(lambda: self.service.look(name))
        if look.state == RUNNING:
            return
        failures: Counter[str] = Counter()
        answered = []
        with self.journal.transaction():
            for asked, answer in _paired(job, look):
                attempt = self._attempt(asked, answer)
                self.journal.record(_request(asked), job.judge, job.rubric, attempt, 0.0, name)
                if attempt.outcome == "failed":
                    failures[attempt.reason or ""] += 1
                else:
                    answered.append(asked)
            state = "collected" if look.state == DONE or answered else look.state
            self.journal.change_job(replace(job, state=state, asked=tuple(answered)))
        if open_again := len(job.asked) - len(answered):
            why = ", ".join(f"{count} {reason}" for reason, count in failures.items()) or look.state
            print_line(f"job {name}: {why}; {open_again} of its {len(job.asked)} requests are open again")

    def _attempt(self, asked: Asked, answer: Answer | NoAnswer) -> Attempt:
        if isinstance(answer, Answer):
            attempt = reading(self.read, replace(answer, note=asked.note), _request(asked), asked.mark)
        elif isinstance(answer, Declined):
            attempt = Attempt("unscored", reason=answer.reason, tokens_in=answer.tokens_in)
        else:
            return Attempt("failed", reason=answer.reason)
        price = self.judge.price
        return replace(attempt, cost=cost_of(attempt.tokens_in, attempt.tokens_out, price) * price.batch)

    def _patiently(self, call: Callable[[], T]) -> T:
        """The result of a call that changes nothing, and may be made again."""
        limits = self.judge.limits
        tries = Retrying(
            stop=stop_after_attempt(limits.max_attempts),
            wait=RetryAfterOrBackoff(limits.backoff_seconds, limits.backoff_longest),
            retry=retry_if_exception_type(Temporary),
            sleep=self._sleep,
            reraise=True,
        )
        return tries(call)


class Submission:
    """What one run submits: requests gathered into jobs, as far as the budget and the service allow."""

    def __init__(self, asker: BatchRunner, total: int) -> None:
        self.judge, self.journal, self.service = asker.judge, asker.journal, asker.service
        self.reads, self.total, self.done = asker.read.__name__, total, 0
        running = asker._jobs(RUNNING)
        self._under_way = {one.key: job.display_name for job in running for one in job.asked}
        self._spent = self.journal.spent(self.judge.name)
        self._due = sum(job.expected for job in running)  # of jobs that are not paid yet
        self._mean = self.journal.mean_tokens_out(self.judge.name)
        self._gathered: list[tuple[Asked, Packed]] = []
        self._keys: set[str] = set()
        self._size, self._cost = 0, 0.0
        self._waiting: dict[str, str] = {}  # of this run's requests: in which job each is
        self._left = self._new = 0
        self._closed = self._over_budget = False
        self._refusal = ""

    def add(self, request: Request, found: Attempt | None) -> None:
        """Have a request asked unless a job asks it already; `found` is an unread reply to remind of."""
        if request.key in self._under_way:
            self._waiting[request.key] = self._under_way[request.key]
            return
        if request.key in self._keys:  # the same question of another prompt
            return
        if self._refusal or self._over_budget:
            self._left += 1
            return
        price, budget = self.judge.price, self.judge.limits.budget
        cost = cost_of(*tokens_of(request, self._mean), price) * price.batch
        if budget is not None and self._spent + self._due + self._cost + cost > budget:
            self._over_budget = True
            self._left += 1
            return
        text = request.text if found is None else reminded(request, found.reason or "")
        packed = self.service.packed(request, text)
        full = len(self._gathered) >= self.judge.batch_size or self._size + packed.size > LARGEST
        if self._gathered and full:
            self._submit()
        mark = "" if found is None else TWICE
        asked = Asked(request.key, request.prompt.id, request.order, mark, packed.note)
        self._gathered.append((asked, packed))
        self._keys.add(request.key)
        self._size, self._cost = self._size + packed.size, self._cost + cost

    def finish(self) -> None:
        """Submit the rest. Raises Stopped where anything is not answered yet."""
        if self._gathered:
            self._submit()
        if not self._waiting and not self._left:
            return
        budget = self.judge.limits.budget
        if self._over_budget and not self._waiting and budget is not None:
            raise budget_is_spent(self._spent, budget, self.done, self.total)
        jobs = len(set(self._waiting.values()))
        waiting, new = _many(len(self._waiting), "request"), self._new
        words = [f"{waiting} submitted in {_many(jobs, 'job')} ({new} of them now)"]
        if self._left:
            why = self._refusal or f"judge.limits.budget={budget:g} would be passed"
            words.append(f"{self._left} not submitted ({why})")
        words.append(f"{self.done} of {self.total} are answered and kept")
        raise Stopped(f"batch: {'; '.join(words)}. The same line collects them later.")

    def _submit(self) -> None:
        """Note a job, create it, note its name. Where that fails, the next run looks whether it is there."""
        judge, asked = self.judge, tuple(one for one, _ in self._gathered)
        job = Job(f"mmdpo-{uuid4().hex}", judge.name, judge.base_url, judge.rubric, self.reads, self._cost, asked)
        packed = [one for _, one in self._gathered]
        self._gathered, self._size, self._cost = [], 0, 0.0
        if self._refusal:
            self._left += len(asked)
            return
        self.journal.add_job(job)
        try:
            name = self.service.create(job.display_name, packed)
        except NoAnswer as failure:
            self._refusal = f"the judge takes no job now: {failure.reason}"
            self._left += len(asked)
            return
        self.journal.change_job(replace(job, name=name))
        self._new += 1
        self._due += job.expected
        for one in asked:
            self._under_way[one.key] = self._waiting[one.key] = job.display_name


def make_runner(judge: JudgeConfig, client: Client, journal: Journal, read: Read) -> RequestRunner | BatchRunner:
    """What asks a judge: one by one, or by batches where the config says so."""
    if judge.batch:
        return BatchRunner(judge, client, journal, read)
    if running := journal.jobs(judge.name, judge.base_url, RUNNING):
        print_line(
            f"{sum(len(job.asked) for job in running)} requests are in batches of this judge; those asked "
            "here one by one are paid twice. judge.batch=true collects them"
        )
    return RequestRunner(judge, client, journal, read)


def _paired(job: Job, look: Look) -> Iterator[tuple[Asked, Answer | NoAnswer]]:
    """Each request with its response; a job that broke off has none for some, and those are left out."""
    by_key = {key: answer for key, answer in look.responses if key is not None}
    if not by_key and len(look.responses) == len(job.asked):  # a service that keeps the order alone
        by_key = {one.key: answer for one, (_, answer) in zip(job.asked, look.responses, strict=True)}
    for asked in job.asked:
        answer = by_key.get(asked.key)
        if answer is not None:
            yield asked, answer
        elif look.state == DONE:
            yield asked, Temporary("no response in its job")


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _request(asked: Asked) -> Request:
    """As much of a request as its reply is read and kept with."""
    return Request(asked.key, Prompt(asked.prompt_id, ""), ("",) * len(asked.order), asked.order, "", None)
