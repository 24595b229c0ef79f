"""Judgments of a point's answers: `judgments/<set>.jsonl`, and the scores computed from them.

Judging needs no GPU. Rules are applied at once. A paid judge keeps its replies in a journal, so that judging again
costs nothing and an interrupted run continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig, JudgeConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.answers import read_answers
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.statistics import Score, summarize
from mmdpo.evaluation.task import Judge, JudgeReply, JudgeRequest, Judgment, Response, Task, Verdict
from mmdpo.judge.judges import rule_named
from mmdpo.judge.rule_client import Rate
from mmdpo.records import DECLINED, Prompt, Rating, write_records

JUDGMENTS = "judgments"


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
    return RuleJudge(rule_named(judge.client), judge.client)


@dataclass(frozen=True)
class PointScores:
    """The scores of a point.

    Attributes:
        scores: The honest scores by `<task>` and `<task>/<part>`; of a second phrasing its main metric alone, as
            `<task>/<variant>`.
        upstream: The numbers that upstream's scripts print, by the same names.
    """

    scores: dict[str, Score]
    upstream: dict[str, float]


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
        UserError: The answers to a set are missing, or were made of something else.
        Stopped: A limit of the judge ended the run; sets that were judged before it keep their judgments.
    """
    answers = [read_answers(one, made_of, bench, folder) for one in sets]
    result = PointScores({}, {})
    for one, responses in zip(sets, answers, strict=True):
        judgments = judge_items(one, responses, judge, bench)
        write_records(folder / JUDGMENTS / f"{one.file}.jsonl", judgments)
        found = summarize(one.task, judgments, bench)
        if one.variant:
            result.scores[f"{one.name}/{one.variant}"] = found[""]
            continue
        result.scores.update({f"{one.name}/{part}".rstrip("/"): value for part, value in found.items()})
        if one.task.upstream:
            printed = one.task.upstream.scores(judgments)
            result.upstream.update({f"{one.name}/{part}".rstrip("/"): value for part, value in printed.items()})
    return result


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
    items = list(zip(one.prompts, responses, strict=True))
    verdicts = one.task.scorer(items, judge, bench)
    if not any(verdict.sample for verdict in verdicts):
        pairs = list(zip(items, verdicts, strict=True))
    else:
        by_id = {prompt.id: (prompt, response) for prompt, response in items}
        pairs = [(by_id[verdict.sample], verdict) for verdict in verdicts]
    return [_judgment(one.task, *item, verdict) for item, verdict in pairs]


def _judgment(task: Task, prompt: Prompt, response: Response, verdict: Verdict) -> Judgment:
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
    )


def _names(value: Any) -> str | list[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else str(value)
