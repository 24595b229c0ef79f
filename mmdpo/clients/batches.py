"""Batch jobs, at a lower price: requests are submitted in jobs, whose replies a later run collects.

Each job is noted in the journal before it is created, so that after a kill nothing is paid for twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable
from uuid import uuid4

from mmdpo.clients.answers import Answer, NoAnswer, Temporary
from mmdpo.clients.client import Client
from mmdpo.clients.estimate import tokens_of
from mmdpo.clients.journal import FAILED, Attempt, BatchJob, JobEntry, Journal, account_of
from mmdpo.clients.limits import budget_is_spent
from mmdpo.clients.replies import Found, Parser, find_reply
from mmdpo.clients.request import Request
from mmdpo.clients.retries import retry_while_unreachable
from mmdpo.clients.runner import RequestRunner, attempt_of, cost_of, is_settled
from mmdpo.config.choices import BATCH_CLIENTS
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import print_line
from mmdpo.errors import Outstanding, Stopped, UserError

RUNNING, DONE = "running", "done"

T = TypeVar("T")


@dataclass(frozen=True)
class PackedRequest:
    """A request in the form that a job takes, its size in bytes, and how its image was changed."""

    content: Any
    size: int
    note: str | None = None


@dataclass(frozen=True)
class BatchStatus:
    """The state of a job (`running`, `done`, or how else it ended), and its responses with their keys."""

    state: str
    responses: Sequence[tuple[str | None, Answer | NoAnswer]] = ()


@runtime_checkable
class BatchService(Protocol):
    """A client that supports batches. Its methods raise a NoAnswer, or UserError.

    Attributes:
        largest_batch: Bytes that the requests of a job may have.
    """

    largest_batch: int

    def pack_request(self, request: Request) -> PackedRequest:
        """Return the request as a part of a job."""
        ...

    def create_batch(self, display_name: str, requests: Sequence[PackedRequest]) -> str:
        """Create a job and return the service's name for it."""
        ...

    def find_batches(self, display_names: Collection[str]) -> Mapping[str, str]:
        """Return the service's names of those jobs that exist, by display name."""
        ...

    def get_batch(self, name: str) -> BatchStatus:
        """Return the state of a job."""
        ...


class BatchRunner:
    """Runner that sends requests to one model by batch jobs."""

    def __init__(
        self,
        judge: JudgeConfig,
        client: Client,
        journal: Journal,
        parser: Parser[Any],
        purpose: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Check that the client supports batches.

        Args:
            judge: The model's limits, prices and batch size.
            client: A BatchService.
            journal: Stores jobs and replies.
            parser: Checks whether a reply can be used; if not, the reminder is sent once.
            purpose: Purpose of the requests; jobs of another purpose belong to another stage.
            sleep: Waits for some seconds.

        Raises:
            UserError: If the client has no batches.
        """
        if not isinstance(client, BatchService):
            choices = "|".join(BATCH_CLIENTS.names())
            raise UserError(f"judge.batch=true: judge={judge.name} has no batches; choose judge={choices}")
        self.judge, self.journal, self.parser, self.purpose = judge, journal, parser, purpose
        self.account = account_of(judge)
        self.service: BatchService = client
        self._sleep = sleep

    def ask(self, requests: Iterable[Request], total: int, advance: Callable[[int], None] = lambda n: None) -> None:
        """Collect the finished jobs, and submit what the journal does not answer and no job asks.

        Args:
            requests: What to ask; consumed once.
            total: Number of requests, for messages.
            advance: Called with the number of requests that are answered.

        Raises:
            Stopped: While replies are outstanding.
            UserError: For what must be fixed first.
        """
        try:
            self._recover_unnamed()
            for job in self.jobs(RUNNING):
                if job.purpose == self.purpose and job.model in (None, self.judge.model):  # with the right prices
                    self._collect(job)
        except NoAnswer as failure:
            raise Stopped(
                f"the judge does not answer ({failure.reason}): its jobs cannot be collected now. Rerun the "
                "same command later."
            ) from failure
        submission = BatchSubmission(self, total)
        asked_again = {entry.key for job in self.jobs("collected") for entry in job.asked}
        for request in requests:
            found = find_reply(self.journal, request, self.parser)
            retry = self.judge.retry_unscored and request.key not in asked_again
            if found is None or not is_settled(found, retry):
                submission.add(request, found)
            else:
                submission.done += 1
                advance(1)
        submission.finish()

    def jobs(self, state: str) -> list[BatchJob]:
        """Return this account's jobs in a state, of every purpose."""
        return self.journal.jobs(self.account, state)

    def _recover_unnamed(self) -> None:
        """Recover jobs whose creation was interrupted; forget those that were not created."""
        unnamed = [job for job in self.jobs(RUNNING) if job.name is None]
        if not unnamed:
            return
        names = self._retry(lambda: self.service.find_batches({job.display_name for job in unnamed}))
        for job in unnamed:
            if job.display_name in names:
                self.journal.change_job(replace(job, name=names[job.display_name]))
            else:
                self.journal.forget_job(job)

    def _collect(self, job: BatchJob) -> None:
        """Store a job's replies if it has ended: in one transaction, since they are paid for."""
        name = job.name or ""
        status = self._retry(lambda: self.service.get_batch(name))
        if status.state == RUNNING:
            return
        failures: Counter[str] = Counter()
        answered = []
        with self.journal.transaction():
            for entry, answer in _paired(job, status):
                attempt = self._attempt(entry, answer)
                request = Request(entry.key, entry.record_id, job.purpose, ())
                self.journal.record(request, self.account, self.judge.model, attempt, 0.0, name)
                if attempt.outcome == FAILED:
                    failures[attempt.reason or ""] += 1
                else:
                    answered.append(entry)
            state = "collected" if status.state == DONE or answered else status.state
            self.journal.change_job(replace(job, state=state, asked=tuple(answered)))
        if open_again := len(job.asked) - len(answered):
            why = ", ".join(f"{count} {reason}" for reason, count in failures.items()) or status.state
            print_line(f"job {name}: {why}; {open_again} of its {len(job.asked)} requests are open again")

    def _attempt(self, entry: JobEntry, answer: Answer | NoAnswer) -> Attempt:
        attempt = attempt_of(answer, entry.reminded)
        price = self.judge.price
        cost = cost_of(attempt.tokens_in, attempt.tokens_out, price) * price.batch
        return replace(attempt, cost=cost, note=entry.note)

    def _retry(self, call: Callable[[], T]) -> T:
        """Return the result of a call that changes nothing and may be repeated."""
        limits = self.judge.limits
        return retry_while_unreachable(
            *(call, limits.max_attempts, limits.backoff_seconds, limits.backoff_longest, self._sleep),
            retry_after_longest=limits.retry_after_longest,
        )


class BatchSubmission:
    """The jobs that one run submits, as far as the budget and the service allow."""

    def __init__(self, runner: BatchRunner, total: int) -> None:
        """Read what is running and spent from the journal.

        Args:
            runner: The runner that submits.
            total: Number of requests, for messages.
        """
        self.judge, self.journal, self.service = runner.judge, runner.journal, runner.service
        self.account, self.purpose, self.total, self.done = runner.account, runner.purpose, total, 0
        running = runner.jobs(RUNNING)
        self._under_way = {entry.key: job.display_name for job in running for entry in job.asked}
        self._spent = self.journal.spent(self.account)
        self._due = sum(job.expected for job in running)  # of jobs that are not paid for yet
        self._mean = self.journal.mean_tokens_out(self.account, self.purpose)
        self._gathered: list[tuple[JobEntry, PackedRequest]] = []
        self._keys: set[str] = set()
        self._size, self._cost = 0, 0.0
        self._waiting: dict[str, str] = {}  # the job of each of this run's requests
        self._left = self._new = 0
        self._over_budget = False
        self._refusal = ""

    def add(self, request: Request, found: Found[Any] | None) -> None:
        """Submit a request unless a job asks it already.

        Args:
            request: What to ask.
            found: Its unusable reply, if there is one; the reminder is sent if it is due.
        """
        if request.key in self._under_way:
            self._waiting[request.key] = self._under_way[request.key]
            return
        if request.key in self._keys:  # another prompt asks the same question
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
        if found is not None and found.reminder_due:
            request = request.with_reminder(found.reason)
        packed = self.service.pack_request(request)
        full = len(self._gathered) >= self.judge.batch_size or self._size + packed.size > self.service.largest_batch
        if self._gathered and full:
            self._submit()
        self._gathered.append((JobEntry(request.key, request.record_id, request.reminded, packed.note), packed))
        self._keys.add(request.key)
        self._size, self._cost = self._size + packed.size, self._cost + cost

    def finish(self) -> None:
        """Submit the rest. Raises Stopped if anything is not answered yet."""
        if self._gathered:
            self._submit()
        if not self._waiting and not self._left:
            return
        budget = self.judge.limits.budget
        if self._over_budget and not self._waiting and budget is not None:
            raise budget_is_spent(self._spent, budget, self.done, self.total)
        jobs = len(set(self._waiting.values()))
        waiting, new = _many(len(self._waiting), "request"), self._new
        parts = [f"{waiting} submitted in {_many(jobs, 'job')} ({new} of them now)"]
        if self._left:
            why = self._refusal or f"judge.limits.budget={budget:g} would be exceeded"
            parts.append(f"{self._left} not submitted ({why})")
        parts.append(f"{self.done} of {self.total} are answered and kept")
        raise Outstanding(f"batch: {'; '.join(parts)}. Rerun the same command later to collect them.")

    def _submit(self) -> None:
        """Note a job, create it, note its name; if that fails, the next run checks whether it exists."""
        entries = tuple(entry for entry, _ in self._gathered)
        display_name, model = f"mmdpo-{uuid4().hex}", self.judge.model
        job = BatchJob(display_name, self.account, self.purpose, self._cost, entries, model=model)
        packed = [one for _, one in self._gathered]
        self._gathered, self._size, self._cost = [], 0, 0.0
        if self._refusal:
            self._left += len(entries)
            return
        self.journal.add_job(job)
        try:
            name = self.service.create_batch(job.display_name, packed)
        except NoAnswer as failure:
            self._refusal = f"the judge takes no job now: {failure.reason}"
            self._left += len(entries)
            return
        self.journal.change_job(replace(job, name=name))
        self._new += 1
        self._due += job.expected
        for entry in entries:
            self._under_way[entry.key] = self._waiting[entry.key] = job.display_name


def make_runner(
    judge: JudgeConfig, client: Client, journal: Journal, parser: Parser[Any], purpose: str
) -> RequestRunner | BatchRunner:
    """Return the runner that the config asks for: one request at a time, or batches.

    Args:
        judge: The model's settings; `judge.batch` chooses.
        client: Sends the requests.
        journal: Stores the replies.
        parser: Checks whether a reply can be used.
        purpose: Purpose of the requests.
    """
    if judge.batch:
        return BatchRunner(judge, client, journal, parser, purpose)
    if running := journal.jobs(account_of(judge), RUNNING):
        print_line(
            f"{sum(len(job.asked) for job in running)} requests are in batches of this judge; those that are asked "
            "one by one now are paid for twice. judge.batch=true collects them"
        )
    return RequestRunner(judge, client, journal, parser)


def _paired(job: BatchJob, status: BatchStatus) -> Iterator[tuple[JobEntry, Answer | NoAnswer]]:
    """Yield each request with its response; requests without a response, of a job that broke off, are skipped."""
    by_key = {key: answer for key, answer in status.responses if key is not None}
    if not by_key and len(status.responses) == len(job.asked):  # a service that returns no keys, but keeps the order
        by_key = {entry.key: answer for entry, (_, answer) in zip(job.asked, status.responses, strict=True)}
    for entry in job.asked:
        answer = by_key.get(entry.key)
        if answer is not None:
            yield entry, answer
        elif status.state == DONE:
            yield entry, Temporary("no response in its job")


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
