"""MMBench: multiple-choice questions about images, each asked once per rotation of its options (CircularEval)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.detectable import Detectable
from mmdpo.evaluation.foreign_files import id_text, read_rows
from mmdpo.evaluation.mmbench_file import (
    ANSWER,
    COPIES,
    L2,
    LETTERS,
    OPTIONS,
    QUESTION,
    SPLIT,
    TABLE,
    questions_of_answers,
    read_questions,
)
from mmdpo.evaluation.option_letters import read_option, read_option_as_upstream
from mmdpo.evaluation.scorers import WORDS
from mmdpo.evaluation.solvers import short_answers
from mmdpo.evaluation.sums import share
from mmdpo.evaluation.task import (
    CLUSTER,
    Cluster,
    Item,
    Judge,
    Judgment,
    Metric,
    Response,
    Task,
    Upstream,
    Verdict,
)
from mmdpo.evaluation.upload_tables import write_table
from mmdpo.evaluation.upstream_answers import StoredAnswer, first_line, match_answers, read_stored_answers
from mmdpo.records import Prompt

INCOMPLETE = "copies_not_answered"
"""The reason of a question of which only some copies have an answer."""
UPLOAD = ("index", "question", *LETTERS, "prediction", "answer", "split")
"""The columns of MMBench's upload."""


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the rows of the table; the copies of a question are rows, and share its image."""
    return read_questions(bench, folder)


def circular(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Score 1 for a question whose copies are all answered rightly, else 0; an answer that names no option is wrong."""
    questions: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: int(item[0].id)):
        questions.setdefault(item[0].facts[CLUSTER], []).append(item)
    return [_verdict(copies) for copies in questions.values()]


def _verdict(copies: Sequence[Item]) -> Verdict:
    first = copies[0][0]
    if len(copies) < first.facts[COPIES]:
        return Verdict(None, reason=INCOMPLETE, sample=first.id)
    read = [read_option(response.answer, prompt.facts[OPTIONS]) for prompt, response in copies]
    right = [letter == prompt.facts[ANSWER] for letter, (prompt, _) in zip(read, copies, strict=True)]
    upstream = [
        read_option_as_upstream(response.answer, prompt.facts[OPTIONS]) == prompt.facts[ANSWER]
        for prompt, response in copies
    ]
    parts = {"vanilla": right[0], "right_rows": sum(right), "rows": len(right), "unparsed": read.count(None)}
    return Verdict(
        float(all(right)),
        {name: float(value) for name, value in parts.items()},
        upstream={"right": float(all(upstream)), "vanilla": float(upstream[0])},
        sample=first.id,
    )


METRICS = (
    Metric("circular", ("score",), label="CircularEval", scale=(0, 1)),
    Metric("vanilla", ("vanilla",), label="VanillaEval (first copy)", scale=(0, 1)),
    Metric("rows", ("right_rows", "rows"), share, label="right rows", scale=(0, 1)),
    Metric("unparsed", ("unparsed", "rows"), share, scale=(0, 1), higher_is_better=False),
    WORDS,
)


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute what VLMEvalKit prints without a judge, and the score of the first copies alone."""
    scored = [one for one in judgments if one.upstream]
    if not scored:
        return {}
    found = {"": _mean(scored, "right"), "vanilla": _mean(scored, "vanilla")}
    for kind in ("category", L2):
        for group in sorted({str(one.groups[kind]) for one in scored if kind in one.groups}):
            found[f"{kind}/{group}"] = _mean([one for one in scored if one.groups.get(kind) == group], "right")
    return found


def _mean(judgments: Sequence[Judgment], name: str) -> float:
    return sum(one.upstream[name] for one in judgments) / len(judgments)


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read LLaVA's answers, an upload, or VLMEvalKit's predictions.

    Args:
        path: The file.
        prompts: The samples.
        bench: Not used.

    Returns:
        The responses to the samples that have one.

    Raises:
        UserError: The file is damaged, or holds answers to other questions or to several rounds.
    """
    if any(id_text(row.get("round_id")) not in ("", "0") for row in read_rows(path)):
        raise UserError(f"{path}: holds answers to several rounds (round_id); allowed: LLaVA's without --all-rounds")
    known = {prompt.id: prompt for prompt in prompts}
    stored = [_with_hint(one, known.get(one.key)) for one in read_stored_answers(path)]
    return match_answers(path, stored, prompts, lambda prompt: prompt.id)


def _with_hint(answer: StoredAnswer, prompt: Prompt | None) -> StoredAnswer:
    """Compare the question alone: VLMEvalKit's files have no hint before it."""
    if prompt is None or answer.question is None:
        return answer
    lines = map(first_line, prompt.question.split("\n"))
    return replace(answer, question=prompt.question) if first_line(answer.question) in lines else answer


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write answers as an Excel file for MMBench's upload."""
    path = folder / "mmbench" / f"{model.replace('/', '_')}.xlsx"
    return [write_table(path, UPLOAD, [_upload_row(prompt, response) for prompt, response in items])]


def _upload_row(prompt: Prompt, response: Response) -> Mapping[str, Any]:
    facts = prompt.facts
    return {
        **facts[OPTIONS],
        "index": int(prompt.id),
        "question": facts[QUESTION],
        "prediction": response.answer,
        "answer": facts[ANSWER],
        "split": facts[SPLIT],
    }


TASK = Task(
    label="MMBench (circular)",
    samples=samples,
    solver=short_answers(*LETTERS),
    scorer=circular,
    metrics=METRICS,
    main_metric="circular",
    groups=("category", L2),
    cluster=Cluster.question,
    one_item_per_cluster=True,
    bench_files=(TABLE,),
    upstream=Upstream(
        upstream_scores,
        write_answers=write_answers,
        read_answers=read_answers,
        samples_of_answers=questions_of_answers,
    ),
    detectable=Detectable(0.03, 1176, "stored answers of LLaVA-1.5"),
    order=160,
)
