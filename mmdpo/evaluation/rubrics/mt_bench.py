"""MT-Bench's judge: requests by the prompts of FastChat's file, the rating in a reply, and its scores.

A reply ends with its rating in double brackets. FastChat takes the first number in double brackets, else the first one
in single brackets anywhere, and checks no range; that reading is kept for `upstream` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum
from pathlib import Path
from string import Formatter
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, require_file
from mmdpo.evaluation.bench_rows import checked_rows
from mmdpo.evaluation.scorers import WORDS
from mmdpo.evaluation.task import TURNS, Item, Judge, JudgeReply, JudgeRequest, Judgment, Metric, Verdict
from mmdpo.files import file_fingerprint
from mmdpo.records import Prompt

REFERENCES = "references"
"""Key of `Prompt.facts`: the reference answers, one per turn."""
REFERENCED = ("math", "reasoning", "coding")
"""Categories that are judged beside a reference answer."""

LOWEST, HIGHEST = 1.0, 10.0
FAILED = -1.0
"""The score that FastChat stores for a reply without a rating, and leaves out of its means."""

DOUBLE = re.compile(r"\[\[(\d+\.?\d*)\]\]")
SINGLE = re.compile(r"\[(\d+\.?\d*)\]")
NAMED_SINGLE = re.compile(r"\b(?:rating|score)\b[^\[\]\n]{0,20}\[(\d+\.?\d*)\]", re.IGNORECASE)

JUDGE_PROMPTS = BenchFile(
    "mt_bench_judge_prompts",
    "mt_bench/judge_prompts.jsonl",
    "lm-sys/FastChat, fastchat/llm_judge/data/judge_prompts.jsonl",
    "Apache-2.0",
    rows=8,
    editions={"fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6": "FastChat"},
)

FIELDS: Mapping[str, tuple[str, ...]] = {
    "single-v1": ("question", "answer"),
    "single-math-v1": ("question", "answer", "ref_answer_1"),
    "single-v1-multi-turn": ("question_1", "question_2", "answer_1", "answer_2"),
    "single-math-v1-multi-turn": (
        "question_1",
        "question_2",
        "answer_1",
        "answer_2",
        "ref_answer_1",
        "ref_answer_2",
    ),
}
"""The prompts of the judge, and the fields that each of them must have."""

METRICS = (Metric("score", ("score",), scale=(LOWEST, HIGHEST)), WORDS)
"""The metrics of MT-Bench; the main one is `score`."""


@dataclass(frozen=True)
class Template:
    """A prompt of the judge: the system's text, and the user's with fields in braces."""

    system: str
    text: str


def judge_turns(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Score each turn of each answer by `bench.repeats` replies of the judge, on a scale from 1 to 10."""
    path = require_file(bench, JUDGE_PROMPTS)
    templates = read_templates(path, file_fingerprint(path))
    turns = [(item, turn) for item in items for turn in (1, 2)]
    requests = [turn_request(*item, turn, n, templates) for item, turn in turns for n in range(bench.repeats)]
    replies = iter(judge.ask(requests))
    return [_verdict(item, turn, [next(replies) for _ in range(bench.repeats)]) for item, turn in turns]


def turn_request(
    prompt: Prompt, response: Any, turn: int, repeat: int, templates: Mapping[str, Template]
) -> JudgeRequest:
    """Build the request for a turn, as FastChat does.

    Args:
        prompt: The sample, with its turns and references.
        response: The model's answers to the turns.
        turn: 1 or 2.
        repeat: The number of the repeated judgment, from 0.
        templates: The prompts of the judge.

    Returns:
        The request.
    """
    referenced = prompt.category in REFERENCED
    template = templates[f"single{'-math' if referenced else ''}-v1{'-multi-turn' if turn == 2 else ''}"]
    questions, answers = prompt.facts[TURNS], response.answers
    values = {"question": questions[0], "answer": answers[0]}
    for number in (1, 2):
        values |= {f"question_{number}": questions[number - 1], f"answer_{number}": answers[number - 1]}
        if referenced:
            values[f"ref_answer_{number}"] = prompt.facts[REFERENCES][number - 1]
    messages = (Message("system", template.system), Message("user", template.text.format(**values)))
    return JudgeRequest(prompt.id, part_of(turn), repeat, messages, read_rating, max_output_tokens=2048)


def part_of(turn: int) -> str:
    """Name a turn, counted from 1, in judgments and scores."""
    return f"turn_{turn}"


@cache
def read_templates(path: Path, content: str) -> Mapping[str, Template]:
    """Read the four prompts for single answers from FastChat's file.

    Args:
        path: The file.
        content: Its fingerprint; a changed file is read again.

    Raises:
        UserError: A prompt is missing, or its fields are not those of MT-Bench.
    """
    key = f"bench.files.{JUDGE_PROMPTS.key}"
    rows = {row["name"]: row for row in checked_rows(path, key, "name", "system_prompt", "prompt_template")}
    if missing := [name for name in FIELDS if name not in rows]:
        raise UserError(f"{key}={path}: lacks the prompts {', '.join(missing)}; it has {', '.join(rows)}")
    for name, allowed in FIELDS.items():
        found = _fields(rows[name]["prompt_template"])
        if found != set(allowed):
            raise UserError(
                f"{key}={path}: prompt {name!r} has the fields {', '.join(sorted(found)) or 'none'}; "
                f"it must have {', '.join(allowed)}"
            )
    return {name: Template(rows[name]["system_prompt"], rows[name]["prompt_template"]) for name in FIELDS}


def _fields(template: str) -> set[str]:
    """Return the fields of a template as they are written, such as `{answer!r:>10}` without its braces."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:  # a single brace
        return {f"({error})"}
    return {
        f"{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}"
        for _, name, spec, conversion in parts
        if name is not None
    }


def read_rating(text: str) -> float | ParseFailure:
    """Read the rating of a reply: the last number in double brackets, from 1 to 10.

    A number in single brackets counts if it is the only one and is named a rating or score.
    """
    found = DOUBLE.findall(text)
    if not found and len(SINGLE.findall(text)) == 1:
        found = NAMED_SINGLE.findall(text)
    if not found:
        return ParseFailure("no_rating")
    rating = float(found[-1])
    return rating if LOWEST <= rating <= HIGHEST else ParseFailure("out_of_range")


def read_as_upstream(text: str) -> float:
    """Read a reply as FastChat does; -1 without a number in brackets."""
    found = DOUBLE.search(text) or SINGLE.search(text)
    return float(found[1]) if found else FAILED


def _verdict(item: Item, turn: int, replies: Sequence[JudgeReply]) -> Verdict:
    prompt, response = item
    values = [reply.value for reply in replies if reply.value is not None]
    reasons = [reply.reason for reply in replies if reply.value is None]
    rows = [row for reply in replies for row in (reply, *reply.others)]
    return Verdict(
        fsum(values) / len(values) if values else None,
        reason="" if values else reasons[0],
        upstream={f"row_{number}": _upstream_rating(row) for number, row in enumerate(rows)},
        sample=prompt.id,
        part=part_of(turn),
        groups={"": part_of(turn)},
        answer=response.answers[turn - 1],
    )


def _upstream_rating(reply: JudgeReply) -> float:
    if reply.upstream is not None:
        return float(reply.upstream)
    return FAILED if reply.text is None else read_as_upstream(reply.text)


def readings_of(upstream: Mapping[str, float]) -> Mapping[str, list[float]]:
    """Return the ratings of an answer by its single replies, those of a second run included."""
    return {"": [value for name, value in upstream.items() if name.startswith("row_") and value != FAILED]}


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute what FastChat prints: means over all rows of a file that are not -1, to 6 decimals."""
    rows: dict[str, list[float]] = {}
    for judgment in judgments:
        names = ["", str(judgment.groups.get("", "")), f"category/{judgment.groups.get('category', '')}"]
        values = [value for value in judgment.upstream.values() if value != FAILED]
        for name in names:
            rows.setdefault(name, []).extend(values)
    return {name: round(fsum(values) / len(values), 6) for name, values in sorted(rows.items()) if values}
