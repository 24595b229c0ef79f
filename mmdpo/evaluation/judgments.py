"""Judgments of a point's answers: `judgments/<set>.jsonl`, and the scores computed from them.

Judging needs no GPU. Rules are applied at once. A paid judge keeps its replies in a journal, so that judging again
costs nothing and an interrupted run continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.answers import read_answers
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.statistics import Score, summarize
from mmdpo.evaluation.task import Judge, Judgment, Response, Verdict
from mmdpo.judge.judges import rule_named
from mmdpo.judge.rule_client import Rate
from mmdpo.records import Prompt, Rating, write_records

JUDGMENTS = "judgments"


@dataclass(frozen=True)
class RuleJudge:
    """A judge of fixed rules."""

    rule: Rate

    def rate(self, items: Sequence[tuple[Prompt, str]]) -> list[Rating]:
        """Rate one answer per prompt, in their order."""
        return [self.rule(prompt, answer) for prompt, answer in items]


def bench_judge(name: str) -> Judge:
    """Return the judge that `bench.judge` names. Raises UserError for an unknown one."""
    return RuleJudge(rule_named(name))


def write_judgments(
    sets: Sequence[SampleSet], judge: Judge, made_of: Mapping[str, Any], bench: BenchConfig, folder: Path
) -> dict[str, Score]:
    """Judge the answers to all sets and compute the scores.

    Args:
        sets: The point's sample sets.
        judge: The source of ratings.
        made_of: The fingerprints that the answers must have.
        bench: The settings of decoding and bootstrap.
        folder: The point's folder.

    Returns:
        The scores by `<task>` and `<task>/<part>`; of a second phrasing its main metric alone, as `<task>/<variant>`.

    Raises:
        UserError: The answers to a set are missing, or were made of something else.
        Stopped: A limit of the judge ended the run; sets that were judged before it keep their judgments.
    """
    answers = [read_answers(one, made_of, bench, folder) for one in sets]
    scores: dict[str, Score] = {}
    for one, responses in zip(sets, answers, strict=True):
        items = list(zip(one.prompts, responses, strict=True))
        verdicts = one.task.scorer(items, judge)
        judgments = [_judgment(one, *item, verdict) for item, verdict in zip(items, verdicts, strict=True)]
        write_records(folder / JUDGMENTS / f"{one.file}.jsonl", judgments)
        found = summarize(one.task, judgments, bench)
        if one.variant:
            scores[f"{one.name}/{one.variant}"] = found[""]
        else:
            scores |= {f"{one.name}/{part}".rstrip("/"): value for part, value in found.items()}
    return scores


def _judgment(one: SampleSet, prompt: Prompt, response: Response, verdict: Verdict) -> Judgment:
    named = {"category": prompt.category, **prompt.facts}
    groups = {kind: str(named[kind]) for kind in one.task.groups if named.get(kind)}
    return Judgment(
        id=prompt.id,
        score=verdict.score,
        parts=dict(verdict.parts),
        words=len(response.answer.split()),
        groups=groups,
        cluster=one.task.cluster_of(prompt),
        reason=verdict.reason,
    )
