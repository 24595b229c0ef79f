"""Small tasks of our own with the hooks of another program's, and the files of their users.

`quiz` is judged in two parts per question, as MT-Bench is. `copies` needs no judge and scores a question over its
copies, as MMBench does.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message
from mmdpo.evaluation.bench_files import BenchFile, require_file
from mmdpo.evaluation.foreign_files import answer_text, first_of, id_text, read_rows, rows_by_id
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import (
    Cluster,
    JudgeReply,
    JudgeRequest,
    JudgeUse,
    Metric,
    Response,
    StoredReply,
    Task,
    Upstream,
    Verdict,
)
from mmdpo.records import Prompt

PARTS = ("turn_1", "turn_2")
QUESTIONS = [f"Question {number}: say {number}." for number in range(1, 7)]


def write_foreign_bench(root: Path) -> Path:
    """Write the questions of both tasks below a root, and return it."""
    for name in ("quiz", "copies"):
        (root / name).mkdir(parents=True)
        rows = [{"question_id": number, "question": text} for number, text in enumerate(QUESTIONS, 1)]
        (root / name / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def write_lines(path: Path, rows: list[dict]) -> Path:
    """Write JSON lines and return the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answer_rows(count: int = 6, model: str = "old-model") -> list[dict]:
    """Return upstream's rows of answers to `quiz`."""
    return [{"question_id": i, "text": f"It is {i}.", "model_id": model} for i in range(1, count + 1)]


def judgment_rows(score: str = "[[7]]", model: str = "old-model", answer: str = "It is {}.") -> list[dict]:
    """Return upstream's rows of judgments of `quiz`."""
    return [
        {
            "question_id": number,
            "model": model,
            "judge": "old-judge",
            "part": part,
            "user_prompt": request_text(part, QUESTIONS[number - 1], answer.format(number)),
            "judgment": f"Rating: {score}",
        }
        for number in range(1, 7)
        for part in PARTS
    ]


def request_text(part: str, question: str, answer: str) -> str:
    return f"{part}\n{question}\n{answer}\nRate it from 1 to 10, as in [[5]]."


class ScriptedJudge:
    """Judge that gives every answer a score by its sample."""

    def __init__(self, score=lambda sample: 5):
        self.score = score
        self.asked: list[JudgeRequest] = []

    def rate(self, items):
        raise AssertionError("no task of these is rated")

    def ask(self, requests):
        self.asked += requests
        return [JudgeReply(request.parse(f"[[{self.score(request.sample)}]]")) for request in requests]


def foreign_root(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the tasks' files below a folder, which becomes the working directory and has no study."""
    add_foreign_tasks(folder / "tasks", patch)
    patch.chdir(folder)
    return write_foreign_bench(folder / "bench")


def add_foreign_tasks(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Add both tasks to `bench.tasks` until the end of the test; their files are written to `folder`."""
    package = importlib.import_module("mmdpo.evaluation.tasks")
    folder.mkdir()
    for name in ("quiz", "copies"):
        text = f"from tests.support import bench_foreign\n\nTASK = bench_foreign.{name.upper()}\n"
        (folder / f"{name}.py").write_text(text)
        patch.setitem(sys.modules, f"mmdpo.evaluation.tasks.{name}", None)  # type: ignore[arg-type]
        del sys.modules[f"mmdpo.evaluation.tasks.{name}"]
    patch.setattr(package, "__path__", [*package.__path__, str(folder)])


def _prompts(bench, folder, file):
    rows = read_rows(require_file(bench, file))
    return [Prompt(str(row["question_id"]), row["question"], category="say") for row in rows]


def _read_score(text):
    found = re.search(r"\[\[(\d+)\]\]", text)
    return float(found[1]) if found else ParseFailure("no_rating")


def _score_quiz(items, judge, bench):
    keys = [(prompt, response, part) for prompt, response in items for part in PARTS]
    requests = [
        JudgeRequest(prompt.id, part, repeat, _messages(part, prompt, response), _read_score)
        for prompt, response, part in keys
        for repeat in range(bench.repeats)
    ]
    replies = iter(judge.ask(requests))
    return [_quiz_verdict(prompt, part, [next(replies) for _ in range(bench.repeats)]) for prompt, _, part in keys]


def _messages(part, prompt, response):
    return (Message("user", request_text(part, prompt.question, response.answer)),)


def _quiz_verdict(prompt, part, replies):
    scores = [reply.value for reply in replies if reply.value is not None]
    value = sum(scores) / len(scores) if scores else None
    upstream = {} if value is None else {"score": value}
    reason = "" if scores else replies[0].reason
    return Verdict(value, {}, reason, upstream, sample=prompt.id, part=part, groups={"": part})


def _mean(judgments):
    scores = [one.upstream["score"] for one in judgments if one.upstream]
    return {"": sum(scores) / len(scores)}


def _write_answers(folder, items, model):
    rows = [{"question_id": int(prompt.id), "text": one.answer, "model_id": model} for prompt, one in items]
    return [write_lines(folder / f"{model}.jsonl", rows)]


def _read_answers(path, prompts, bench):
    rows = rows_by_id(read_rows(path), ("question_id", "index"))
    found = [(prompt, answer_text(rows[prompt.id])) for prompt in prompts if prompt.id in rows]
    return [Response(prompt.id, prompt.question, text, prompt.category) for prompt, text in found if text is not None]


def _read_judgments(path, prompts, model):
    rows = [row for row in read_rows(path) if first_of(row, ("model",)) == model or not model]
    return [
        StoredReply(id_text(row["question_id"]), row["part"], 0, row["judgment"], row["user_prompt"], row["judge"])
        for row in rows
    ]


QUIZ_FILE = BenchFile("quiz", "quiz/questions.jsonl", "nowhere", "ours", 6)
QUIZ = Task(
    label="quiz",
    samples=lambda bench, folder: _prompts(bench, folder, QUIZ_FILE),
    solver=single_turn,
    scorer=_score_quiz,
    metrics=(Metric("score", ("score",), scale=(1, 10)),),
    main_metric="score",
    groups=("",),
    cluster=Cluster.question,
    bench_files=(QUIZ_FILE,),
    judge_use=JudgeUse.asked,
    reads=("repeats",),
    text_only=True,
    upstream=Upstream(_mean, _write_answers, _read_answers, _read_judgments),
)

COPIES_FILE = BenchFile("copies", "copies/questions.jsonl", "nowhere", "ours", 6)


def _copies(bench, folder):
    """Questions 1 and 2, 3 and 4, 5 and 6 are copies of one question."""
    prompts = _prompts(bench, folder, COPIES_FILE)
    return [Prompt(one.id, f"Copied {(int(one.id) + 1) // 2}", images=(), facts={"own": one.id}) for one in prompts]


def _score_copies(items, judge, bench):
    right: dict[str, list[bool]] = {}
    for prompt, response in items:
        right.setdefault(prompt.question, []).append(prompt.id in response.answer)
    firsts = {prompt.question: prompt.id for prompt, _ in reversed(items)}
    return [Verdict(float(all(found)), sample=firsts[name]) for name, found in right.items()]


COPIES = Task(
    label="copies",
    samples=_copies,
    solver=single_turn,
    scorer=_score_copies,
    metrics=(Metric("accuracy", ("score",), scale=(0, 1)),),
    main_metric="accuracy",
    cluster=Cluster.question,
    one_item_per_cluster=True,
    bench_files=(COPIES_FILE,),
    text_only=True,
    upstream=Upstream(lambda judgments: {"": float(len(judgments))}, read_answers=_read_answers),
)
