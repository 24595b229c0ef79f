"""LLaVA-Bench (in the wild): a judge compares answers about images with reference answers of a language model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.config.schema import BenchConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, prompt_owner, require_file
from mmdpo.evaluation.bench_rows import Row, bench_rows, indexed, read_object
from mmdpo.evaluation.detectable import Detectable
from mmdpo.evaluation.foreign_files import id_text, read_rows
from mmdpo.evaluation.repeats import ask_each, by_run, mean_of_runs, readings, runs, unscored, values_of_runs
from mmdpo.evaluation.rubrics import llava_bench as rubric
from mmdpo.evaluation.scorers import WORDS
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.sums import SumStatistic
from mmdpo.evaluation.task import (
    Cluster,
    Item,
    Judge,
    JudgeUse,
    Judgment,
    Metric,
    Response,
    StoredReply,
    Task,
    Upstream,
    Verdict,
)
from mmdpo.evaluation.upstream_answers import (
    llava_answer_ids,
    match_answers,
    read_stored_answers,
    write_llava_answers,
)
from mmdpo.records import Prompt

CATEGORIES = ("conv", "detail", "complex")
ORIGIN = "data set liuhaotian/llava-bench-in-the-wild"


def _file(name: str, rows: int, edition: str) -> BenchFile:
    return BenchFile(
        key=f"llava_bench_{name.partition('.')[0]}",
        name=f"llava_bench/{name}",
        origin=f"{ORIGIN}, {name}",
        licence="not stated",
        rows=rows,
        editions={edition: "2023"},
        also=(f"llava-bench-in-the-wild/{name}",),
    )


QUESTIONS = _file("questions.jsonl", 60, "88e44112cc72cb4a7264464aa2ad76922d3e0fd959b16557561a0e06623d8019")
CONTEXT = _file("context.jsonl", 24, "ea37b70d4c2ec83619fb72572b93c0e523387e587727ccf3a29eaab5a9416c9d")
REFERENCES = _file("answers_gpt4.jsonl", 60, "9d818abd1355f5c859f293335d37e185097ed9aa23775bbef4737b35ef169873")
RULES = BenchFile(
    key="llava_bench_rule",
    name="llava_bench/rule.json",
    origin="GitHub haotian-liu/LLaVA, llava/eval/table/rule.json",
    licence="Apache-2.0",
    editions={"dd7345a44ce9f7a24e51a30ee030cdab32346f9d08e3359c80545ff1312b1e07": "2023"},
    also=("llava-bench-in-the-wild/rule.json",),
)
IMAGES = BenchFile(
    key="llava_bench_images",
    name="llava_bench/images/",
    origin=f"{ORIGIN}, images/",
    licence="not stated",
    also=("llava-bench-in-the-wild/images/",),
)


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Join questions, captions, reference answers and rules by id; `facts` holds what the judge is shown."""
    questions = bench_rows(bench, QUESTIONS, question_id=int, image=str, text=str, category=str)
    indexed(questions, ["question_id"], f"bench.files.{QUESTIONS.key}")
    captions = indexed(bench_rows(bench, CONTEXT, image=str, caption=object), ["image"], f"bench.files.{CONTEXT.key}")
    answers = bench_rows(bench, REFERENCES, question_id=int, text=str)
    references = indexed(answers, ["question_id"], f"bench.files.{REFERENCES.key}")
    rules = read_object(require_file(bench, RULES), f"bench.files.{RULES.key}")
    return [_prompt(row, captions, references, rules) for row in questions]


def _prompt(row: Row, captions: dict[Any, Row], references: dict[Any, Row], rules: Row) -> Prompt:
    name, category = f"llava_bench question {row['question_id']}", row["category"]
    if category not in CATEGORIES:
        raise UserError(f"{name}: category {category!r}; allowed: {', '.join(CATEGORIES)}")
    for file, found in ((CONTEXT, row["image"] in captions), (REFERENCES, row["question_id"] in references)):
        if not found:
            raise UserError(f"{name}: bench.files.{file.key} has no entry for it; the files must be of one edition")
    rule = rules.get(f"llava_bench_{category}")
    if not isinstance(rule, dict) or not all(isinstance(rule.get(field), str) for field in ("role", "prompt")):
        raise UserError(
            f"bench.files.{RULES.key}: llava_bench_{category} lacks role or prompt; type +bench.files.{RULES.key}=PATH"
        )
    reference = references[row["question_id"]]
    if str(reference.get("prompt") or row["text"]).strip() != row["text"].strip():
        raise UserError(f"{name}: the reference answer is to {reference['prompt']!r}; the files must be of one edition")
    caption = captions[row["image"]]["caption"]
    facts = {
        "caption": "\n".join(map(str, caption)) if isinstance(caption, list) else str(caption),
        "reference": reference["text"],
        "role": rule["role"],
        "instruction": rule["prompt"],
    }
    return Prompt(id_text(row["question_id"]), row["text"], (row["image"],), category=category, facts=facts)


def scorer(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Have reference and answer scored; of several judgments the means count."""
    found = ask_each(
        items,
        judge,
        bench,
        lambda item: rubric.messages(item[0].facts, item[0].question, item[1].answer),
        rubric.parse,
        temperature=rubric.TEMPERATURE,
        max_output_tokens=rubric.MAX_OUTPUT_TOKENS,
    )
    verdicts = []
    for (sample, _), replies in zip(items, found, strict=True):
        upstream = by_run(replies, rubric.parse_as_upstream, "reference", "answer")
        groups: dict[str, str | list[str]] = {"": sample.category}
        if pairs := readings(replies):
            reference, answer = (fmean(scores) for scores in zip(*pairs, strict=True))
            parts = {"reference": reference, "answer": answer}
            verdicts.append(Verdict(100 * answer / reference, parts, groups=groups, upstream=upstream))
        else:
            verdicts.append(unscored(replies, groups=groups, upstream=upstream))
    return verdicts


relative_score = SumStatistic(
    lambda reference, answer: (reference, answer), lambda reference, answer: 100 * answer / reference
)
"""The sum of the answers' scores as a percentage of that of the references."""


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute what LLaVA's summarize_gpt_review.py prints; of several runs the mean, and each total.

    The means are rounded to three decimals before they are divided. `reference` and `answer` are the means of the
    scores, times ten.
    """
    return mean_of_runs([_printed(run) for run in runs(judgments, "reference", "answer")])


def _printed(run: Sequence[tuple[Judgment, tuple[float, ...]]]) -> dict[str, float]:
    import numpy as np

    found = {}
    for category in ("", *CATEGORIES):
        scores = [values for one, values in run if category in ("", one.groups[""])]
        if not scores:
            continue
        reference, answer = [round(mean, 3) for mean in np.asarray(scores).mean(0).tolist()]
        if reference:  # upstream divides by zero otherwise
            found[category] = round(answer / reference * 100, 1)
        named = {"reference": round(reference * 10, 1), "answer": round(answer * 10, 1)}
        found |= {f"{category}/{name}".lstrip("/"): value for name, value in named.items()}
    return found


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read LLaVA's answers by question_id."""
    return match_answers(path, read_stored_answers(path), prompts, lambda prompt: prompt.id)


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write answers as LLaVA does, below a folder of the task."""
    return write_llava_answers(folder / "llava_bench" / f"{model}.jsonl", items, model, lambda prompt: int(prompt.id))


def read_judgments(path: Path, prompts: Sequence[Prompt], model: str) -> list[StoredReply]:
    """Read LLaVA's reviews by question_id. Reviews of several runs in one file are repeats, in their order.

    The file does not hold the requests, but LLaVA's ids of the answers. Where the scores are not those of the review,
    the scores count, as in upstream's script.
    """
    categories = {prompt.id: prompt.category for prompt in prompts}
    counted: Counter[str] = Counter()
    found = []
    for row in read_rows(path):
        name = id_text(row.get("question_id"))
        if name not in categories:
            continue
        if str(row.get("category") or "").removeprefix("llava_bench_") not in ("", categories[name]):
            raise UserError(
                f"--judgments={path}: question {name} is of category {row['category']} there and {categories[name]} "
                "here; the files are of other questions"
            )
        found.append(_stored(path, name, counted[name], row))
        counted[name] += 1
    if len(set(counted.values())) > 1:
        fewest, most = min(counted, key=counted.__getitem__), max(counted, key=counted.__getitem__)
        raise UserError(
            f"--judgments={path}: question {most} has {counted[most]} reviews and {fewest} has {counted[fewest]}; "
            "allowed: as many for each question, one per run"
        )
    if not found:
        raise UserError(f"--judgments={path}: no review belongs to a question of LLaVA-Bench")
    if others := sum(reply.text is None for reply in found):
        print_line(
            f"llava_bench: {others} of {len(found)} scores in {path} differ from their reviews; the scores count"
        )
    return found


def _stored(path: Path, name: str, run: int, row: Row) -> StoredReply:
    content, scores = str(row.get("content") or ""), row.get("tuple")
    stored = StoredReply(name, "", run, content, answer_id=str(row.get("answer2_id", "")))
    if scores == (None if scores is None and content else [*rubric.parse_as_upstream(content)]):
        return stored
    pair = rubric.parse(" ".join(map(str, scores)) if isinstance(scores, list) else "")
    if isinstance(pair, ParseFailure):
        raise UserError(f"--judgments={path}: question {name} has scores {scores}; allowed: two from 1 to 10")
    return replace(stored, text=None, value=pair)


TASK = Task(
    label="LLaVA-Bench (in the wild)",
    samples=samples,
    solver=single_turn,
    scorer=scorer,
    metrics=(
        Metric("relative", ("reference", "answer"), relative_score, label="score relative to the references"),
        Metric("reference", ("reference",), scale=(1, 10), label="score of the references", higher_is_better=None),
        Metric("answer", ("answer",), scale=(1, 10), label="score of the answers"),
        WORDS,
    ),
    main_metric="relative",
    groups=("",),
    group_metrics=("reference", "answer"),
    cluster=Cluster.image,
    bench_files=(QUESTIONS, CONTEXT, REFERENCES, RULES),
    image_folder=IMAGES,
    reads=("repeats",),
    judge_use=JudgeUse.asked,
    rubric=prompt_owner(RULES),
    upstream=Upstream(
        upstream_scores,
        write_answers,
        read_answers,
        read_judgments,
        answer_ids=llava_answer_ids,
        readings=values_of_runs("answer"),
    ),
    detectable=Detectable(7.0, 24, "LLaVA-1.5 with stored reviews of GPT-4"),
    order=140,
)
