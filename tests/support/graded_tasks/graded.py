"""A task whose judge gives a number in double brackets; the tests add this folder to the tasks."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.bench_files import BenchFile, require_file
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import Item, Judge, JudgeRequest, JudgeUse, Metric, Task, Verdict
from mmdpo.records import Prompt

QUESTIONS = BenchFile(
    key="graded_questions",
    name="graded/questions.jsonl",
    origin="the tests",
    licence="none",
    recognize=lambda path: f"edition {len(path.read_text().splitlines())}",
)


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the questions."""
    lines = require_file(bench, QUESTIONS).read_text(encoding="utf-8").splitlines()
    return [Prompt(str(number), json.loads(line)["question"]) for number, line in enumerate(lines)]


def scorer(items: list[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Ask for `bench.repeats` grades of each answer and take their mean."""
    requests = [request(*item, repeat) for item in items for repeat in range(bench.repeats)]
    replies = judge.ask(requests)
    verdicts = []
    for start in range(0, len(replies), bench.repeats):
        values = [reply.value for reply in replies[start : start + bench.repeats] if reply.value is not None]
        verdicts.append(Verdict(sum(values) / len(values)) if values else Verdict(None, reason=replies[start].reason))
    return verdicts


def request(prompt: Prompt, response, repeat: int) -> JudgeRequest:
    """Return the request for a grade."""
    text = f"Grade from 1 to 10 as [[x]].\nQuestion: {prompt.question}\nAnswer: {response.answer}"
    return JudgeRequest(prompt.id, "", repeat, (Message("user", text),), parse)


def parse(text: str) -> float | ParseFailure:
    """Read a grade."""
    found = re.search(r"\[\[(\d+)\]\]", text)
    return float(found[1]) if found else ParseFailure("no_grade")


TASK = Task(
    label="graded answers",
    samples=samples,
    solver=single_turn,
    scorer=scorer,
    metrics=(Metric("score", ("score",), scale=(1, 10)),),
    main_metric="score",
    bench_files=(QUESTIONS,),
    reads=("repeats",),
    judge_use=JudgeUse.asked,
    rubric=lambda bench: "own",
    text_only=True,
)
