"""MM-Vet: open questions about images that need several capabilities together, graded from 0 to 1 by a judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from statistics import fmean

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message
from mmdpo.config.schema import BenchConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, prompt_owner, require_file
from mmdpo.evaluation.bench_rows import prompt_of_file, read_object
from mmdpo.evaluation.detectable import Detectable
from mmdpo.evaluation.repeats import ask_each, by_run, readings, runs, unscored, values_of_runs
from mmdpo.evaluation.rubrics import mm_vet as rubric
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
from mmdpo.evaluation.upstream_answers import (
    match_answers,
    read_stored_answers,
    write_object,
)
from mmdpo.records import Prompt

CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")
ONLY = "_only"  # behind the name of a combination of one capability, which is not the capability itself
DECIMALS = 1  # of what upstream prints
V1 = "v1_"

QUESTIONS = BenchFile(
    key="mm_vet_questions",
    name="mm_vet/mm-vet.json",
    origin="mm-vet.zip of GitHub yuweihao/MM-Vet, mm-vet.json",
    licence="CC BY-NC 4.0",
    rows=218,
    editions={"6eced3121b9865098ea72aca233ca5ff7fd7b81374494d878815b9f856442d8e": "v1 (218 questions)"},
    also=("mm-vet/mm-vet.json",),
)
PROMPT = BenchFile(
    key="mm_vet_judge_prompt",
    name="mm_vet/judge_prompt.txt",
    origin="the text of `prompt` in mm-vet_evaluator.ipynb of GitHub yuweihao/MM-Vet; without it our own is asked",
    licence="Apache-2.0",
    required=False,
)
IMAGES = BenchFile(
    key="mm_vet_images",
    name="mm_vet/images/",
    origin="mm-vet.zip of GitHub yuweihao/MM-Vet, images/",
    licence="those of the images",
    also=("mm-vet/images/",),
)


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the questions; `facts` holds the ground truth and the capabilities."""
    path = require_file(bench, QUESTIONS)
    place = f"bench.files.{QUESTIONS.key}"
    return [_prompt(f"{place}={path}: {name}", name, entry) for name, entry in read_object(path, place).items()]


def _prompt(place: str, name: str, entry: object) -> Prompt:
    fields = {"imagename": str, "question": str, "answer": str, "capability": list}
    if not isinstance(entry, dict):
        raise UserError(f"{place}: it is not an object; allowed: {', '.join(fields)}")
    for field, kind in fields.items():
        if not isinstance(entry.get(field), kind) or not entry[field]:
            raise UserError(
                f"{place}: field {field!r} is not a {kind.__name__} with content; allowed: MM-Vet of version 1"
            )
    if unknown := set(entry["capability"]) - {*CAPABILITIES}:
        raise UserError(f"{place}: capability {sorted(unknown)}; allowed: {', '.join(CAPABILITIES)}")
    capabilities = [one for one in CAPABILITIES if one in entry["capability"]]
    facts = {"truth": entry["answer"], "capability": capabilities}
    return Prompt(name, entry["question"], (entry["imagename"],), category=combination(capabilities), facts=facts)


def combination(capabilities: Sequence[str]) -> str:
    """Name a combination of capabilities, in upstream's order."""
    return "_".join(capabilities) if len(capabilities) > 1 else capabilities[0] + ONLY


def scorer(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Grade the answers; of several judgments the mean counts."""
    prompt = prompt_of_file(bench, PROMPT, rubric.OWN_PROMPT)

    def messages(item: Item) -> tuple[Message, ...]:
        sample, response = item
        text = rubric.request_text(prompt, sample.question, sample.facts["truth"], response.answer)
        return (Message("user", text),)

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
    for (sample, _), replies in zip(items, found, strict=True):
        groups: dict[str, str | list[str]] = {"": [*sample.facts["capability"], sample.category]}
        upstream = by_run(replies, rubric.parse_as_upstream, "grade")
        if grades := readings(replies):
            verdicts.append(Verdict(100 * fmean(grades), groups=groups, upstream=upstream))
        else:
            verdicts.append(unscored(replies, groups=groups, upstream=upstream))
    return verdicts


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute what upstream's evaluator writes to its two tables: means over runs, rounded to one decimal.

    `std` is the deviation of the totals over runs. Combinations have the capabilities' names, joined.
    """
    import numpy as np

    sums: dict[str, list[float]] = {}
    for run in runs(judgments, "grade"):
        groups = {"": [value for _, (value,) in run]}
        for one, (value,) in run:
            for name in one.groups[""]:
                groups.setdefault(name, []).append(value)
        for name, values in groups.items():
            sums.setdefault(name, []).append(reduce(add, values) / len(values))  # sum() would round less
    per_run = {name: np.array(means) * 100 for name, means in sums.items()}
    found = {name: float(np.round(values.mean(), DECIMALS)) for name, values in per_run.items()}
    if (totals := per_run.get("")) is not None:
        found["std"] = float(np.round(totals.std(), DECIMALS))
        if len(totals) > 1:
            found |= {f"run_{number}": float(np.round(total, DECIMALS)) for number, total in enumerate(totals, 1)}
    return found


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read answers by upstream's id, or by its number as LLaVA and VLMEvalKit have it."""
    stored = [one if one.key.startswith(V1) else replace(one, key=V1 + one.key) for one in read_stored_answers(path)]
    return match_answers(path, stored, prompts, lambda prompt: prompt.id)


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write answers as upstream's evaluator reads them: text by id."""
    content = {prompt.id: response.answer for prompt, response in items}
    return write_object(folder / "mm_vet" / f"{model}.json", content)


def read_judgments(path: Path, prompts: Sequence[Prompt], model: str) -> list[StoredReply]:
    """Read upstream's grades; the runs are repeats. The file does not hold the requests.

    Where a score is not that of its reply, the score counts, as in upstream's script.
    """
    known = {prompt.id for prompt in prompts}
    found = []
    for name, entry in read_object(path, "--judgments").items():
        if name not in known:
            continue
        try:
            rows = list(zip(entry["model"], entry["content"], entry["score"], strict=True))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"--judgments={path}: {name}: allowed are lists model, content and score of equal length"
            ) from error
        for run, (judge, content, score) in enumerate(rows):
            stored = StoredReply(name, "", run, str(content), judge=str(judge))
            if score != rubric.parse_as_upstream(str(content)):
                if isinstance(grade := rubric.parse(str(score)), ParseFailure):
                    raise UserError(f"--judgments={path}: {name}: score {score} of run {run + 1}; allowed: 0 to 1")
                stored = replace(stored, text=None, value=grade)
            found.append(stored)
    if not found:
        raise UserError(f"--judgments={path}: no grade belongs to a question of MM-Vet")
    if others := sum(reply.text is None for reply in found):
        print_line(f"mm_vet: {others:,} of {len(found):,} scores in {path} differ from their replies; the scores count")
    return found


TASK = Task(
    label="MM-Vet",
    samples=samples,
    solver=single_turn,
    scorer=scorer,
    metrics=(Metric("score", ("score",), scale=(0, 100)), WORDS),
    main_metric="score",
    groups=("",),
    cluster=Cluster.image,
    bench_files=(QUESTIONS, PROMPT),
    image_folder=IMAGES,
    reads=("repeats",),
    judge_use=JudgeUse.asked,
    rubric=prompt_owner(PROMPT),
    upstream=Upstream(upstream_scores, write_answers, read_answers, read_judgments, readings=values_of_runs("grade")),
    detectable=Detectable(5.2, 200, "LLaVA-1.5 7B and 13B with stored grades of GPT-4"),
    order=130,
)
