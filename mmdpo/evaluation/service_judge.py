"""A service as the judge of benchmarks: the tasks' own questions, and ratings by a rubric.

All points share one journal. A request is found by its content and not by the model that is judged, so equal answers
are asked once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mmdpo.clients.answers import Answer, ParseFailure
from mmdpo.clients.batches import make_runner
from mmdpo.clients.journal import account_of
from mmdpo.clients.replies import Found, Parser, find_reply
from mmdpo.clients.request import TRUNCATED, ReplySettings, Request
from mmdpo.clients.runner import is_settled
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import progress
from mmdpo.errors import Outstanding, Stopped, UserError
from mmdpo.evaluation.task import JudgeReply, JudgeRequest
from mmdpo.files import fingerprint
from mmdpo.judge.annotate import parser_of
from mmdpo.judge.journals import known_replies, locked_journal, print_limits
from mmdpo.judge.judges import client_of
from mmdpo.judge.rating_request import further_decoding, rating_request
from mmdpo.records import Completion, Prompt, Rating, Unscored

JUDGE_GROUP = "bench.judge"
EXPECTED_TOKENS = 150
"""Guess of a reply's length, until the journal has replies to average."""

JUDGE_KEY = re.compile(r"(?<![\w.])judge(?=[.=])")
NOT_ASKED = "not_asked"


@dataclass(frozen=True)
class TaskRequest(Request):
    """A request of a task, which reads the reply itself."""

    parse: Callable[[str], Any | ParseFailure] = field(default=str, repr=False)


@dataclass(frozen=True)
class ServiceJudge:
    """A judge that asks a service what the journal does not answer.

    Attributes:
        config: The settings of the service.
        task: The name of the task whose answers are judged.
        image_root: The folder of the task's images.
        served: The names of the models that replied, as the service reports them, by task.
        texts: The raw replies by sample and part, oldest first.
    """

    config: JudgeConfig
    task: str = ""
    image_root: Path = Path()
    served: dict[str, set[str]] = field(default_factory=dict)
    texts: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def of_task(self, task: str, image_root: Path) -> Self:
        """Return the judge of a task's answers; it shares `served`."""
        return replace(self, task=task, image_root=image_root, texts={})

    @property
    def purpose(self) -> str:
        """The purpose of the requests: jobs and mean lengths of tasks do not mix."""
        return f"bench/{self.task}"

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> list[Rating | Unscored]:
        """Rate one answer per prompt by the rubric, in their order. Raises Stopped if a limit ends the run."""
        requests = self.rating_requests(items)
        found = self._replies(requests, parser_of(self.config))
        for request in requests:
            self._keep(request.record_id, "", found[request.key].text)
        return [
            Unscored(request.record_id, one.reason) if one.value is None else one.value.ratings[0]
            for request in requests
            for one in [found[request.key]]
        ]

    def ask(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Return one reply per request, in their order. Raises Stopped if a limit ends the run."""
        asked = self.task_requests(requests)
        found = self._replies(asked, read_reply)
        replies = [found[one.key] for one in asked]
        for request, reply in zip(requests, replies, strict=True):
            self._keep(request.sample, request.part, reply.text)
        return [JudgeReply(one.value, one.text, one.reason, one.served) for one in replies]

    def _keep(self, sample: str, part: str, text: str | None) -> None:
        if text is not None:
            self.texts.setdefault((sample, part), []).append(text)

    def rating_requests(self, items: Sequence[tuple[Prompt, str]]) -> list[Request]:
        """Return the requests for the ratings of one answer per prompt."""
        return [
            replace(
                rating_request((prompt, [Completion(prompt.id, 0, answer)]), self.image_root, self.config),
                purpose=self.purpose,
            )
            for prompt, answer in items
        ]

    def task_requests(self, requests: Sequence[JudgeRequest]) -> list[Request]:
        """Return requests of the task as the client sends them."""
        return [self._task_request(request) for request in requests]

    def _task_request(self, request: JudgeRequest) -> TaskRequest:
        judge = self.config
        settings = ReplySettings(
            temperature=None if judge.temperature is None else request.temperature,
            max_output_tokens=request.max_output_tokens,
            structured=False,
            reasoning_effort=judge.reasoning_effort,
            extra_body=judge.extra_body,
        )
        key = {
            "judge": [judge.client, judge.model, judge.base_url],
            "messages": [[message.role, message.text] for message in request.messages],
            "decoding": [settings.temperature, settings.max_output_tokens],
            "repeat": request.repeat,
            **further_decoding(judge),
        }
        return TaskRequest(
            key=fingerprint(key, length=32),
            record_id="/".join(filter(None, (request.sample, request.part))),
            purpose=self.purpose,
            messages=request.messages,
            settings=settings,
            reminder=request.reminder,
            expected_tokens=min(EXPECTED_TOKENS, request.max_output_tokens),
            parse=request.parse,
        )

    def _replies(self, requests: Sequence[Request], parser: Parser[Any]) -> dict[str, Found[Any]]:
        """Return the outcome of each request by its key; ask for those that the journal does not settle."""
        judge, distinct = self.config, {request.key: request for request in requests}
        with bench_keys(self.task):
            with known_replies(judge) as journal:
                found = {key: find_reply(journal, request, parser) for key, request in distinct.items()}
            if any(one is None or not is_settled(one, judge.retry_unscored) for one in found.values()):
                client = client_of(judge)
                print_limits(judge, JUDGE_GROUP)
                total = len(distinct)
                with locked_journal(judge) as journal:
                    runner = make_runner(judge, client, journal, parser, self.purpose)
                    with progress(f"judging {self.task}", total) as advance:
                        runner.ask(distinct.values(), total, advance)
                    found = {key: find_reply(journal, request, parser) for key, request in distinct.items()}
        replies = {key: one or Found(None, NOT_ASKED) for key, one in found.items()}
        self.served.setdefault(self.task, set()).update(one.served for one in replies.values() if one.served)
        return replies


def read_reply(request: Request, answer: Answer) -> Any | ParseFailure:
    """Parse the reply to a TaskRequest. One that ended at the token limit counts if it can be read nevertheless."""
    assert isinstance(request, TaskRequest)
    value = request.parse(answer.text)
    return ParseFailure(TRUNCATED) if isinstance(value, ParseFailure) and answer.truncated else value


def close_jobs(judge: JudgeConfig, tasks: Sequence[str]) -> None:
    """Note that all replies of the batch jobs of these tasks are used, so that unscored items can be asked again."""
    with locked_journal(judge) as journal:
        for task in tasks:
            journal.close_jobs(account_of(judge), ServiceJudge(judge, task).purpose)


@contextmanager
def bench_keys(task: str) -> Iterator[None]:
    """Name the task in errors, and `bench.judge` in place of `judge`, whose settings it has."""
    try:
        yield
    except UserError as error:
        if type(error) not in (UserError, Stopped, Outstanding):
            raise
        raise type(error)(f"judging {task}: {JUDGE_KEY.sub(JUDGE_GROUP, str(error))}") from error


def served_by(judge: object) -> Mapping[str, set[str]]:
    """Return the names of the models that replied, by task; empty for a judge that asks none."""
    return judge.served if isinstance(judge, ServiceJudge) else {}
