"""The cost of judging the benchmarks, before anything is asked: calls, tokens, money and time, by task and in total.

The tasks' own scorers make the requests. Answers that do not exist yet are assumed to have a quarter of the limit of
tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmdpo.clients.estimate import Estimate, estimate
from mmdpo.clients.journal import Journal
from mmdpo.clients.replies import Parser, find_reply
from mmdpo.clients.request import Request
from mmdpo.clients.runner import is_settled
from mmdpo.config.choices import CLIENTS
from mmdpo.config.schema import Config, JudgeConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.answers import differences, read_answers
from mmdpo.evaluation.importing import answered_part
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.service_judge import NOT_ASKED, ServiceJudge, read_reply
from mmdpo.evaluation.task import JudgeReply, JudgeRequest, JudgeUse, Response, load_task
from mmdpo.judge.annotate import parser_of
from mmdpo.judge.journals import known_replies
from mmdpo.models.requests import GenerationRequest
from mmdpo.pipeline.imported import ImportedAnswersOfTask, read_answers_of
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.points.point import Point
from mmdpo.records import Completion, Prompt, Rating, Unscored

ASSUMED_SHARE = 4  # of the limit of tokens, which an assumed answer has: a quarter


@dataclass
class CountingJudge:
    """A judge that notes what it would be asked, and answers what the journal knows.

    Attributes:
        service: Makes the requests.
        journal: The stored replies.
        requests: The noted requests by key, each with what parses its reply.
    """

    service: ServiceJudge
    journal: Journal
    requests: dict[str, tuple[Request, Parser[object]]] = field(default_factory=dict)
    _seen: set[tuple[str, str, int]] = field(default_factory=set)

    def begin(self, service: ServiceJudge) -> None:
        """Begin with the answers to a set, whose requests this service makes."""
        self.service = service
        self._seen.clear()

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> list[Rating | Unscored]:
        """Return no ratings."""
        parser: Parser[object] = parser_of(self.service.config)
        self.requests |= {one.key: (one, parser) for one in self.service.rating_requests(items)}
        return [Unscored(prompt.id, NOT_ASKED) for prompt, _ in items]

    def ask(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Return the known replies. A question that follows from an unknown reply is not counted."""
        replies = []
        for asked, request in zip(requests, self.service.task_requests(requests), strict=True):
            place = (asked.sample, asked.part, asked.repeat)
            found = find_reply(self.journal, request, read_reply)
            if found is not None or place not in self._seen:
                self.requests[request.key] = request, read_reply
            if found is None:
                self._seen.add(place)
                replies.append(JudgeReply(None, reason=NOT_ASKED))
            else:
                replies.append(JudgeReply(found.value, found.text, found.reason, found.served))
        return replies


@dataclass(frozen=True)
class AssumedAnswers:
    """Inference that gives each question an answer of the assumed length."""

    point: str
    max_new_tokens: int

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Return one made-up answer per request, in their order; no two points have the same."""
        return [
            Completion(one.prompt.id, 0, f"{self.point} {one.prompt.id} " + "abc " * self._tokens(one))
            for one in requests
        ]

    def _tokens(self, request: GenerationRequest) -> int:
        limit = min(request.max_new_tokens or self.max_new_tokens, self.max_new_tokens)
        return limit // ASSUMED_SHARE


@dataclass(frozen=True)
class Work:
    """Answers to a task that are to be judged.

    Attributes:
        config: The config of the command.
        task: The task's name.
        read: Return the sample sets with their answers, and the number of answers that are assumed. New samples are
            written into the folder that it is given.
    """

    config: Config
    task: str
    read: Callable[[Path], Iterable[tuple[SampleSet, Sequence[Response], int]]]


def judging_cost(
    points: Sequence[Point], imported: Sequence[tuple[Config, ImportedAnswersOfTask]] = ()
) -> Iterator[str]:
    """Yield what judging would cost, for each judge that is a service.

    Args:
        points: The points that are not finished.
        imported: Imported answers that are not judged, each with the config of its command.
    """
    work = [_of_point(p, name) for p in points for name in _judged(p.config)]
    work += [_of_imported(config, one) for config, one in imported]
    by_judge: dict[str, list[Work]] = {}
    for one in work:
        if one.config.bench.judge.client in CLIENTS.names():
            by_judge.setdefault(repr(one.config.bench.judge), []).append(one)
    for members in by_judge.values():
        yield from _cost(members)


def _of_point(p: Point, task: str) -> Work:
    def read(scratch: Path) -> Iterator[tuple[SampleSet, Sequence[Response], int]]:
        bench = replace(p.config.bench, tasks=[task])
        for one in sample_sets_of(replace(p.config, bench=bench), scratch):
            yield one, *_responses(one, p)

    return Work(p.config, task, read)


def _of_imported(config: Config, answers: ImportedAnswersOfTask) -> Work:
    def read(scratch: Path) -> Iterator[tuple[SampleSet, Sequence[Response], int]]:
        samples, responses, _ = read_answers_of(answers, config.bench)
        yield answered_part(samples, responses), responses, 0

    return Work(config, answers.task, read)


def _cost(work: Sequence[Work]) -> Iterator[str]:
    judge = work[0].config.bench.judge
    retry = judge.retry_unscored or work[0].config.judge.retry_unscored
    assumed = 0
    by_task: dict[str, CountingJudge] = {}
    with known_replies(judge) as journal, TemporaryDirectory() as scratch:
        unknown = {}
        for one in work:
            try:
                assumed += _count(one, by_task, journal, Path(scratch))
            except UserError as error:
                unknown[one.task] = f"judging {one.task}: the cost is unknown: {error}"
        estimates = {name: _estimate(counting, journal, judge, retry) for name, counting in by_task.items()}
    yield from unknown.values()
    for name, found in estimates.items():
        yield f"judging {name}: {'; '.join(found.lines(judge))}"
    if len(estimates) > 1:
        total = sum(estimates.values(), Estimate(0, 0, 0, 0))
        yield f"judging in total{' of what is known' if unknown else ''}: {'; '.join(total.lines(judge))}"
    if assumed:
        yield (
            f"judging: {assumed} answers do not exist yet; each is assumed to have a quarter of bench.max_new_tokens, "
            "and to differ from the others"
        )


def _judged(config: Config) -> list[str]:
    """Return the tasks that need the judge."""
    return [name for name in config.bench.tasks if load_task(name).judge_use is not JudgeUse.no]


def _count(work: Work, by_task: dict[str, CountingJudge], journal: Journal, scratch: Path) -> int:
    """Note the requests for answers to a task; return how many of the answers are assumed."""
    bench = replace(work.config.bench, tasks=[work.task])
    assumed = 0
    for one, responses, missing in work.read(scratch):
        assumed += missing
        service = ServiceJudge(bench.judge, work.task, one.image_root)
        counting = by_task.setdefault(work.task, CountingJudge(service, journal))
        counting.begin(service)
        one.task.scorer(list(zip(one.prompts, responses, strict=True)), counting, bench)
    return assumed


def _responses(one: SampleSet, p: Point) -> tuple[list[Response], int]:
    """Return the answers to a set, and how many of them are assumed since they do not exist yet."""
    bench = p.config.bench
    if not differences(one, {}, bench, p.folder):
        return read_answers(one, {}, bench, p.folder), 0
    assumed = one.task.solver(AssumedAnswers(p.name, bench.max_new_tokens), one.asked)
    return assumed, len(assumed)


def _estimate(counting: CountingJudge, journal: Journal, judge: JudgeConfig, retry: bool) -> Estimate:
    def is_answered(request: Request) -> bool:
        found = find_reply(journal, request, counting.requests[request.key][1])
        return found is not None and is_settled(found, retry)

    return estimate((request for request, _ in counting.requests.values()), journal, judge, is_answered)
