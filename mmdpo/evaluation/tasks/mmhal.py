"""MMHal-Bench: questions about images that invite hallucinations, rated from 0 to 6 by a judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mmdpo.clients.request import Message
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, find_file, prompt_owner
from mmdpo.evaluation.bench_rows import Row, bench_rows, prompt_of_file
from mmdpo.evaluation.foreign_files import answer_text, read_rows
from mmdpo.evaluation.repeats import ask_each, by_run, mean_of_runs, readings, runs, unscored, values_of_runs
from mmdpo.evaluation.rubrics import mmhal as rubric
from mmdpo.evaluation.scorers import WORDS
from mmdpo.evaluation.solvers import single_turn
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
from mmdpo.evaluation.upstream_answers import StoredAnswer, match_answers, write_object
from mmdpo.records import Prompt

ORIGIN = "data set Shengcao1006/MMHal-Bench"
FIELDS = {
    "question_type": str,
    "image_id": str,
    "image_src": str,
    "image_content": list,
    "question": str,
    "gt_answer": str,
}
ROW = "row"  # in `Prompt.facts`: the row of upstream's file, to write it again
DECIMALS = 2  # of what upstream prints

QUESTIONS = BenchFile(
    key="mmhal_questions",
    name="mmhal/response_template.json",
    origin=f"{ORIGIN}, response_template.json",
    licence="Apache-2.0",
    rows=96,
)
PROMPT = BenchFile(
    key="mmhal_judge_prompt",
    name="mmhal/judge_prompt.txt",
    origin="`template` in Eval/eval_gpt_mmhal.py of GitHub llava-rlhf/LLaVA-RLHF; without it our own is asked",
    licence="not checked; see the repository",
    required=False,
)
IMAGES = BenchFile(
    key="mmhal_images",
    name="mmhal/images/",
    origin=f"{ORIGIN}, images/, with the names at the end of image_src",
    licence="those of OpenImages",
)


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the questions; ids count them from 0."""
    place = f"bench.files.{QUESTIONS.key}"
    prompts = [_prompt(number, row, place) for number, row in enumerate(bench_rows(bench, QUESTIONS, **FIELDS))]
    seen: dict[str, str] = {}
    for prompt in prompts:
        if (first := seen.setdefault(_key(prompt.facts[ROW]), prompt.id)) != prompt.id:
            raise UserError(f"{place}: rows {int(first) + 1} and {int(prompt.id) + 1} are the same question")
    return prompts


def _prompt(number: int, row: Row, place: str) -> Prompt:
    contents = row["image_content"]
    if not all(isinstance(one, str) for one in contents):
        raise UserError(f"{place}: row {number + 1}: field 'image_content': allowed is a list of texts")
    kept = {name: value for name, value in row.items() if name != "model_answer"}
    image = row["image_src"].rsplit("/", 1)[-1]
    facts = {"question_type": row["question_type"], ROW: kept}
    return Prompt(str(number), row["question"], (image,), category=row["question_type"], facts=facts)


def _key(row: Row) -> str:
    """Return what identifies a question in upstream's files."""
    return f"{row['image_id']}\n{row['question']}"


def judge_prompt(bench: BenchConfig) -> str:
    """Return upstream's prompt from the user's file, checked, or our own without such a file."""
    template = prompt_of_file(bench, PROMPT, rubric.OWN_PROMPT)
    rubric.check_prompt(template, f"bench.files.{PROMPT.key}={find_file(bench, PROMPT)}")
    return template


def scorer(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Have the answers rated; of several judgments the means count."""
    template = judge_prompt(bench)

    def messages(item: Item) -> tuple[Message, ...]:
        row, answer = item[0].facts[ROW], item[1].answer
        values = (", ".join(row["image_content"]), row["question"], row["gt_answer"], answer)
        return (Message("user", rubric.request_text(template, *values)),)

    found = ask_each(
        items,
        judge,
        bench,
        messages,
        rubric.parse,
        temperature=rubric.TEMPERATURE,
        max_output_tokens=rubric.MAX_OUTPUT_TOKENS,
        reminder=rubric.REMINDER,
    )
    verdicts = []
    for replies in found:
        upstream = by_run(replies, rubric.parse_as_upstream, "rating")
        if ratings := readings(replies):
            parts = {"hallucination": fmean(rating < rubric.HALLUCINATED for rating in ratings)}
            verdicts.append(Verdict(fmean(ratings), parts, upstream=upstream))
        else:
            verdicts.append(unscored(replies, upstream=upstream))
    return verdicts


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute what upstream's script prints, with two decimals; of several runs the mean."""
    return mean_of_runs([_printed(run) for run in runs(judgments, "rating")])


def _printed(run: Sequence[tuple[Judgment, tuple[float, ...]]]) -> dict[str, float]:
    ratings = [rating for _, (rating,) in run]
    low = [rating < rubric.HALLUCINATED for rating in ratings]
    found = {"": _two_decimals(ratings), "hallucination_rate": _two_decimals(low)}
    for name in sorted({str(one.groups["question_type"]) for one, _ in run}):
        members = [rating for one, (rating,) in run if one.groups["question_type"] == name]
        found[f"question_type/{name}"] = round(sum(members) / len(members), DECIMALS)
    return found


def _two_decimals(values: Sequence[float]) -> float:
    return float(f"{sum(values) / len(values):.{DECIMALS}f}")


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read upstream's response file: a list of its questions with `model_answer` filled."""
    rows = [row for row in read_rows(path) if {"image_id", "question"} <= row.keys()]
    stored = [StoredAnswer(_key(row), answer_text(row, ("model_answer",))) for row in rows]
    return match_answers(path, stored, prompts, lambda prompt: _key(prompt.facts[ROW]))


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write upstream's response file: its questions with `model_answer` filled."""
    content: list[dict[str, Any]] = [
        {**prompt.facts[ROW], "model_answer": response.answer} for prompt, response in items
    ]
    return write_object(folder / "mmhal" / f"{model}.json", content)


def read_judgments(path: Path, prompts: Sequence[Prompt], model: str) -> list[StoredReply]:
    """Read upstream's evaluation file: OpenAI's replies in the order of the questions, without the requests."""
    rows = read_rows(path)
    if len(rows) != len(prompts):
        raise UserError(
            f"--judgments={path}: {len(rows)} replies to {len(prompts)} questions; allowed: one per question, in order"
        )
    found = []
    for prompt, row in zip(prompts, rows, strict=True):
        try:
            text = row["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"--judgments={path}: reply {int(prompt.id) + 1} has no choices[0].message.content"
            ) from error
        found.append(StoredReply(prompt.id, "", 0, text, judge=str(row.get("model", ""))))
    return found


TASK = Task(
    label="MMHal-Bench",
    samples=samples,
    solver=single_turn,
    scorer=scorer,
    metrics=(
        Metric("score", ("score",), scale=(rubric.LOWEST, rubric.HIGHEST)),
        Metric(
            "hallucination_rate",
            ("hallucination",),
            label="hallucination rate",
            scale=(0, 1),
            higher_is_better=False,
        ),
        WORDS,
    ),
    main_metric="score",
    groups=("question_type",),
    group_metrics=("hallucination_rate",),
    cluster=Cluster.image,
    bench_files=(QUESTIONS, PROMPT),
    image_folder=IMAGES,
    reads=("repeats",),
    judge_use=JudgeUse.asked,
    rubric=prompt_owner(PROMPT),
    upstream=Upstream(upstream_scores, write_answers, read_answers, read_judgments, readings=values_of_runs("rating")),
    order=180,
)
