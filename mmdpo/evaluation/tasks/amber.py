"""AMBER: captions, whose objects are compared with those of the image, and yes-or-no questions. It needs no judge.

A "no" is the positive answer of precision, recall and F1, as in AMBER. AMBER's script finds the objects of captions
by a tagger and word vectors; here words are matched exactly, and the captions have no upstream numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.amber_files import (
    ANNOTATIONS,
    ANSWER,
    ATTRIBUTES,
    CAPTIONS,
    IMAGES,
    INVENTED,
    QUERIES,
    RELATION,
    RELATIONS,
    SAFE_WORDS,
    TRUTH,
    read_answers,
    read_queries,
    read_relations,
    read_safe_words,
    write_answers,
)
from mmdpo.evaluation.exact_objects import mentioned_objects, mentions
from mmdpo.evaluation.scorers import WORDS, read_yes_no
from mmdpo.evaluation.solvers import mixed_answers
from mmdpo.evaluation.sums import SumStatistic, f1, mean, precision, recall, scaled, share
from mmdpo.evaluation.task import Cluster, Item, Judge, Judgment, Metric, Task, Upstream, Verdict
from mmdpo.records import Prompt

EXACT = "words matched exactly"
QUESTION_PARTS = ("said_no", "is_no")
ALL_PARTS = ("all_caption", "all_wrong_mentions", "all_mentions", "all_said_no", "all_is_no")
TYPES = ("existence", "attribute", *ATTRIBUTES, RELATION)
EPSILON, EPSILON_OF_EXISTENCE = 0.0001, 0.001  # in the denominator of F1, in AMBER's script


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the queries and their annotations."""
    return read_queries(bench)


def expected_answers(prompt: Prompt) -> tuple[str, ...]:
    """Return the usual answers to a question; none for a caption."""
    return () if prompt.category == CAPTIONS else ("Yes", "No")


def scorer(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Compare captions with the annotated objects, and answers with the right ones; unread answers are wrong."""
    captions = any(prompt.category == CAPTIONS for prompt, _ in items)
    relations, safe = (read_relations(bench), read_safe_words(bench)) if captions else ({}, set())
    vocabulary = {*relations, *(word for words in relations.values() for word in words)}
    return [
        _caption(prompt, response.answer, relations, safe, vocabulary)
        if prompt.category == CAPTIONS
        else _question(prompt, response.answer)
        for prompt, response in items
    ]


def _question(prompt: Prompt, answer: str) -> Verdict:
    label, said = prompt.facts[ANSWER] == ["yes"], read_yes_no(answer)
    parts = {"right": said is label, "said_no": said is False, "is_no": not label, "unparsed": said is None}
    name = "attribute" if prompt.category in ATTRIBUTES else prompt.category
    values = {key: float(value) for key, value in parts.items()}
    return Verdict(
        float(said is label),
        values | _all(said_no=values["said_no"], is_no=values["is_no"]),
        upstream={"yes": float(answer == "Yes"), "no": float(answer == "No")},
        groups={"": [name, prompt.category] if name != prompt.category else [name]},
    )


def _caption(
    prompt: Prompt, answer: str, relations: dict[str, list[str]], safe: set[str], vocabulary: set[str]
) -> Verdict:
    truth = {name: {name, *relations.get(name, ())} for name in prompt.facts[TRUTH]}
    invented = {name: {name, *relations.get(name, ())} for name in prompt.facts[INVENTED]}
    present = safe.union(*truth.values())
    words = mentions(answer, vocabulary.union(*truth.values(), *invented.values()))
    wrong = [word for word in words if word not in present]
    parts = {
        "mentions": len(words),
        "wrong_mentions": len(wrong),
        "hallucinated": bool(wrong),
        "objects": len(truth),
        "covered": len(mentioned_objects(words, truth)),
        "targets": len(invented),
        "targets_mentioned": len(mentioned_objects(wrong, invented)),
    }
    values = {name: float(value) for name, value in parts.items()}
    both = _all(caption=1, wrong_mentions=values["wrong_mentions"], mentions=values["mentions"])
    return Verdict(float(not wrong), values | both)


def _all(**values: float) -> dict[str, float]:
    """Return the columns of AMBER's score, which both kinds of items have."""
    return dict.fromkeys(ALL_PARTS, 0.0) | {f"all_{name}": float(value) for name, value in values.items()}


def _terms_of_score(captions: Any, wrong: Any, mentions: Any, said_no: Any, is_no: Any) -> Sequence[Any]:
    import numpy as np

    return np.ones_like(captions), captions, *share.terms(wrong, mentions), *f1.terms(said_no, is_no)


def _score_of_sums(total: Any, captions: Any, wrong: Any, mentions: Any, hits: Any, said_no: Any, is_no: Any) -> Any:
    import numpy as np

    faithful, score = 100 - 100 * share.of_sums(wrong, mentions), 100 * f1.of_sums(hits, said_no, is_no)
    return np.where(captions == 0, score, np.where(captions == total, faithful, (faithful + score) / 2))


amber_score = SumStatistic(_terms_of_score, _score_of_sums)
"""The mean of 100 - CHAIR and F1; of items of one kind, that kind's half alone."""


def _percentage(name: str, columns: tuple[str, ...], statistic: SumStatistic, better: bool, label: str = "") -> Metric:
    return Metric(name, columns, scaled(statistic, 100), label, scale=(0, 100), higher_is_better=better)


METRICS = (
    Metric("amber", ALL_PARTS, amber_score, f"AMBER score ({EXACT})", scale=(0, 100)),
    _percentage("chair", ("wrong_mentions", "mentions"), share, False, f"CHAIR ({EXACT})"),
    _percentage("cover", ("covered", "objects"), share, True, f"Cover ({EXACT})"),
    _percentage("hal", ("hallucinated",), mean, False, f"Hal ({EXACT})"),
    _percentage("cog", ("targets_mentioned", "targets"), share, False, f"Cog ({EXACT})"),
    _percentage("accuracy", ("right",), mean, True),
    _percentage("precision", QUESTION_PARTS, precision, True),
    _percentage("recall", QUESTION_PARTS, recall, True),
    _percentage("f1", QUESTION_PARTS, f1, True, "F1"),
    _percentage("unparsed", ("unparsed",), mean, False),
    WORDS,
)


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute what AMBER's script prints of the questions; types for which it divides by zero are left out."""
    questions = [one for one in judgments if one.upstream]
    found = _printed(questions, EPSILON)
    for name in TYPES:
        members = [one for one in questions if name in one.groups.get("", [])]
        printed = _printed(members, EPSILON_OF_EXISTENCE if name == "existence" else EPSILON)
        found |= {f"{name}/{key}": value for key, value in printed.items()}
    return found


def _printed(members: Sequence[Judgment], epsilon: float) -> dict[str, float]:
    is_no = [bool(one.parts["is_no"]) for one in members]
    said_no = [bool(one.upstream["no"]) for one in members]
    said_yes = [bool(one.upstream["yes"]) for one in members]
    both = sum(said and label for said, label in zip(said_no, is_no, strict=True))
    right = both + sum(said and not label for said, label in zip(said_yes, is_no, strict=True))
    try:
        accuracy, precise = round(right / len(members) * 100, 1), round(both / sum(said_no) * 100, 1)
        recalled = round(both / sum(is_no) * 100, 1)
    except ZeroDivisionError:
        return {}
    score = round(2 * (precise / 100) * (recalled / 100) / ((precise / 100) + (recalled / 100) + epsilon) * 100, 1)
    return {"accuracy": accuracy, "precision": precise, "recall": recalled, "f1": score}


TASK = Task(
    label=f"AMBER ({EXACT})",
    samples=samples,
    solver=mixed_answers(expected_answers),
    scorer=scorer,
    metrics=METRICS,
    main_metric="amber",
    groups=("",),
    group_metrics=("accuracy", "precision", "recall", "f1"),
    cluster=Cluster.image,
    bench_files=(QUERIES, ANNOTATIONS, RELATIONS, SAFE_WORDS),
    image_folder=IMAGES,
    upstream=Upstream(upstream_scores, write_answers=write_answers, read_answers=read_answers),
    order=170,
)
