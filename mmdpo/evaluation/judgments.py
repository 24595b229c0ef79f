"""Judgments of a point's answers: `judgments/<set>.jsonl`, and the scores computed from them.

Judging needs no GPU. Rules are applied at once. A paid judge keeps its replies in a journal, so that judging again
costs nothing and an interrupted run continues.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdpo.config.choices import CLIENTS
from mmdpo.config.schema import BenchConfig, JudgeConfig
from mmdpo.console import print_line
from mmdpo.errors import Outstanding, UserError
from mmdpo.evaluation.answers import read_answers
from mmdpo.evaluation.paired import paired
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.score_labels import label_of_set
from mmdpo.evaluation.service_judge import ServiceJudge, served_by
from mmdpo.evaluation.statistics import Score, summarize
from mmdpo.evaluation.task import Item, Judge, JudgeReply, JudgeRequest, Judgment, Response, Task, Verdict
from mmdpo.judge.judges import rule_named
from mmdpo.judge.rule_client import Rate
from mmdpo.judge.stage import listed
from mmdpo.records import DECLINED, Prompt, Rating, write_records

JUDGMENTS = "judgments"
AGAIN = (
    "The raw replies are in the journal; stage=judge bench.judge.retry_unscored=true asks for the unscored items again"
)


@dataclass(frozen=True)
class RuleJudge:
    """A judge of fixed rules."""

    rule: Rate
    name: str

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> list[Rating]:
        """Rate one answer per prompt, in their order."""
        return [self.rule(prompt, answer) for prompt, answer in items]

    def ask(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Raise UserError: rules answer no requests."""
        raise UserError(
            f"bench.judge={self.name}: fixed rules judge no text; choose a service, as in bench.judge=gemini"
        )


def bench_judge(judge: JudgeConfig) -> Judge:
    """Return the judge that `bench.judge` chooses. Raises UserError for an unknown one."""
    if judge.client in CLIENTS.names():
        return ServiceJudge(judge)
    return RuleJudge(rule_named(judge.client), judge.client)


@dataclass(frozen=True)
class PointScores:
    """The scores of a point.

    Attributes:
        scores: The honest scores by `<task>` and `<task>/<part>`; of a second phrasing its main metric alone, as
            `<task>/<variant>`.
        upstream: The numbers that upstream's scripts print, by the same names.
        labels: What the scores of each task depend on, as `mmdpo.evaluation.score_labels` describes it.
    """

    scores: dict[str, Score]
    upstream: dict[str, float]
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)


def write_judgments(
    sets: Sequence[SampleSet], judge: Judge, made_of: Mapping[str, Any], bench: BenchConfig, folder: Path
) -> PointScores:
    """Judge the answers to all sets and compute the scores.

    Args:
        sets: The point's sample sets.
        judge: The source of ratings and replies.
        made_of: The fingerprints that the answers must have.
        bench: The settings of decoding, judging and bootstrap.
        folder: The point's folder.

    Returns:
        The scores.

    Raises:
        UserError: The answers to a set are missing, or were made of something else; or no item of a set has a score.
        Stopped: A limit of the judge ended the run; sets that were judged before it keep their judgments. The requests
            of all sets are submitted before the command waits for batch jobs.
    """
    answers = [read_answers(one, made_of, bench, folder) for one in sets]
    result = PointScores({}, {})
    waiting, empty = [], []
    judged: dict[str, list[Judgment]] = {}
    for one, responses in zip(sets, answers, strict=True):
        try:
            judgments = judge_items(one, responses, judge, bench)
        except Outstanding as stop:
            waiting.append(str(stop))
            continue
        write_records(folder / JUDGMENTS / f"{one.file}.jsonl", judgments)
        reasons = Counter(item.reason or "no score" for item in judgments if item.score is None)
        if judgments and reasons.total() == len(judgments):
            empty.append(f"{one.file}: none of {len(judgments)} items has a score ({listed(reasons)})")
            continue
        if reasons and isinstance(judge, ServiceJudge):
            print_line(f"{one.file}: {reasons.total()} of {len(judgments)} items are unscored ({listed(reasons)})")
        _add(result, one, judgments, bench)
        if not one.variant:
            judged[one.name] = judgments
            result.labels[one.name] = label_of_set(one, responses, bench, served_by(judge).get(one.name, ()))
    for one in sets:
        if one.name in judged and (other := one.task.minus) in judged:
            result.scores[f"{one.name}/minus_{other}"] = paired(judged[one.name], judged[other], bench)
    if waiting:
        raise Outstanding("\n".join(waiting))
    if empty:
        raise UserError("\n".join([*empty, AGAIN if isinstance(judge, ServiceJudge) else ""]).rstrip())
    if any(score.unscored for score in result.scores.values()) and isinstance(judge, ServiceJudge):
        print_line(AGAIN)
    return result


def _add(result: PointScores, one: SampleSet, judgments: Sequence[Judgment], bench: BenchConfig) -> None:
    """Add the scores of a set's judgments to those of its point."""
    found = summarize(one.task, judgments, bench)
    if one.variant:
        result.scores[f"{one.name}/{one.variant}"] = found[""]
        return
    result.scores.update({f"{one.name}/{part}".rstrip("/"): value for part, value in found.items()})
    if one.task.upstream:
        printed = one.task.upstream.scores(judgments)
        result.upstream.update({f"{one.name}/{part}".rstrip("/"): value for part, value in printed.items()})


def judge_items(one: SampleSet, responses: Sequence[Response], judge: Judge, bench: BenchConfig) -> list[Judgment]:
    """Score the responses to a sample set.

    Args:
        one: The sample set.
        responses: One response per sample, in their order.
        judge: The source of ratings and replies.
        bench: The settings of the judging.

    Returns:
        The judgments of the task's items.
    """
    if isinstance(judge, ServiceJudge):
        judge = judge.of_task(one.name, one.image_root)
    items = list(zip(one.prompts, responses, strict=True))
    verdicts = one.task.scorer(items, judge, bench)
    if not any(verdict.sample for verdict in verdicts):
        pairs = list(zip(items, verdicts, strict=True))
    else:
        by_id = {prompt.id: (prompt, response) for prompt, response in items}
        pairs = [(by_id[verdict.sample], verdict) for verdict in verdicts]
    texts = judge.texts if isinstance(judge, ServiceJudge | ReplayJudge) else {}
    return [_judgment(one.task, item, verdict, _replies(texts, item[0].id, verdict.part)) for item, verdict in pairs]


def _replies(texts: Mapping[tuple[str, str], list[str]], sample: str, part: str) -> list[str]:
    """Return the raw replies about a judged part, or about all of a sample that is judged as a whole."""
    if part or (sample, "") in texts:
        return texts.get((sample, part), [])
    return [text for (name, _), found in texts.items() if name == sample for text in found]


def _judgment(task: Task, item: Item, verdict: Verdict, replies: list[str]) -> Judgment:
    prompt, response = item
    named = {"category": prompt.category, **prompt.facts, **verdict.groups}
    groups = {kind: _names(named[kind]) for kind in task.groups if named.get(kind)}
    answer = response.answer if verdict.answer is None else verdict.answer
    if response.finish_reason == DECLINED:  # rules would read the empty answer as one
        verdict = replace(verdict, score=None, parts={}, reason="declined by the server")
    return Judgment(
        id=f"{prompt.id}/{verdict.part}" if verdict.part else prompt.id,
        score=verdict.score,
        parts=dict(verdict.parts),
        words=len(answer.split()),
        groups=groups,
        cluster=task.cluster_of(prompt),
        reason=verdict.reason,
        upstream=dict(verdict.upstream),
        replies=replies,
    )


def _names(value: Any) -> str | list[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else str(value)
