"""Scorers: from answers to verdicts, by fixed rules or by a judge's ratings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.sums import f1
from mmdpo.evaluation.task import Item, Judge, Metric, Verdict
from mmdpo.nano.oracle import HIGHEST, ten_point_score
from mmdpo.records import Unscored

ATTRIBUTES = ("correctness", "helpfulness", "coherence")
"""The attributes of a rating that make its score."""

WORDS = Metric("words", ("words",), label="answer length (words)", higher_is_better=None)

RATING_METRICS = (
    Metric("score", ("score",), scale=(1, 10)),
    *(Metric(name, (name,), scale=(0, HIGHEST)) for name in ATTRIBUTES),
    WORDS,
)
"""The metrics of `by_rating`; the main one is `score`."""

YES_NO_METRICS = (
    Metric("accuracy", ("score",), scale=(0, 1)),
    Metric("f1", ("said_yes", "is_yes"), f1, scale=(0, 1)),
    Metric("yes_ratio", ("said_yes",), scale=(0, 1), higher_is_better=None),
    Metric("unparsed", ("unparsed",), scale=(0, 1), higher_is_better=False),
    WORDS,
)
"""The metrics of `yes_no`; the main one is `accuracy`."""

EXACT_MATCH_METRICS = (Metric("accuracy", ("score",), scale=(0, 1)), WORDS)
"""The metrics of `exact_match`; the main one is `accuracy`."""


def by_rating(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Score answers by a judge's ratings, on MT-Bench's scale from 1 to 10."""
    ratings = judge.rate([(prompt, response.answer) for prompt, response in items])
    return [
        Verdict(None, reason=rating.reason)
        if isinstance(rating, Unscored)
        else Verdict(ten_point_score(rating), {name: float(rating[name]) for name in ATTRIBUTES})
        for rating in ratings
    ]


def yes_no(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Score yes-or-no answers by the label in `facts["answer"]`; the judge is not used."""
    verdicts = []
    for prompt, response in items:
        answer, label = read_yes_no(response.answer), prompt.facts["answer"] == ["yes"]
        parts = {"said_yes": answer is True, "is_yes": label, "unparsed": answer is None}
        verdicts.append(Verdict(float(answer is label), {name: float(value) for name, value in parts.items()}))
    return verdicts


def read_yes_no(text: str) -> bool | None:
    """Read a yes-or-no answer as POPE does: from its first sentence, where "no" and "not" mean no.

    POPE counts everything else as yes, also "NO" and "No!". Here neither case nor punctuation counts, and an answer
    with none of the words is None, and counted as unparsed.
    """
    words = re.findall(r"\w+", text.split(".")[0].lower())
    if "no" in words or "not" in words:
        return False
    return True if "yes" in words else None


def exact_match(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Score 1 for an answer that equals one of `facts["answer"]`, else 0; the judge is not used.

    Case, punctuation and surrounding white space do not count.
    """
    return [
        Verdict(float(_normalized(response.answer) in {_normalized(answer) for answer in prompt.facts["answer"]}))
        for prompt, response in items
    ]


def _normalized(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
