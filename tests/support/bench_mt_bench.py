"""Small files of our own in FastChat's formats for MT-Bench."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

CATEGORIES = ("writing", "math", "stem")
SINGLE = "Rate it as [[rating]].\nQ: {question}\n{reference}A: {answer}"
SEVERAL = "{reference}Q1: {question_1}\nA1: {answer_1}\nQ2: {question_2}\nA2: {answer_2}"
TEMPLATES = {
    "single-v1": ("Help.", SINGLE.replace("{reference}", "")),
    "single-math-v1": ("Help.", SINGLE.replace("{reference}", "R: {ref_answer_1}\n")),
    "single-v1-multi-turn": ("Rate the second answer as [[rating]].", SEVERAL.replace("{reference}", "")),
    "single-math-v1-multi-turn": (
        "Rate the second answer as [[rating]].",
        SEVERAL.replace("{reference}", "R1: {ref_answer_1}\nR2: {ref_answer_2}\n"),
    ),
}


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_mt_bench(root: Path, categories: Sequence[str] = CATEGORIES) -> Path:
    """Write questions 81, 82, ... of these categories, references to all of them, and prompts of a judge."""
    folder = root / "mt_bench"
    questions = [
        {"question_id": 81 + number, "category": category, "turns": [f"What is {number}?", f"Why {{{number}}}?"]}
        for number, category in enumerate(categories)
    ]
    write_lines(folder / "question.jsonl", questions)
    references = [answer_row(row["question_id"], "gpt-4", "It is.", "Thus.") for row in questions]
    write_lines(folder / "reference_answer" / "gpt-4.jsonl", references)
    prompts = [
        {"name": name, "type": "single", "system_prompt": system, "prompt_template": text}
        for name, (system, text) in TEMPLATES.items()
    ]
    write_lines(folder / "judge_prompts.jsonl", prompts)
    return root


def answer_row(question: int, model: str, *turns: str) -> dict[str, Any]:
    """A row of FastChat's answers."""
    choices = [{"index": 0, "turns": list(turns)}]
    return {"question_id": question, "answer_id": "x", "model_id": model, "choices": choices, "tstamp": 1.5}


def judgment_row(question: int, turn: int, score: float, judgment: str = "", **others: Any) -> dict[str, Any]:
    """A row of FastChat's judgments of the model `m`."""
    row = {"question_id": question, "model": "m", "judge": ["gpt-4", "single-v1"], "user_prompt": "Rate it."}
    return {**row, "judgment": judgment or f"Rating: [[{score}]]", "score": score, "turn": turn, **others}


def write_photos(root: Path, count: int = 3) -> Path:
    """Write photographs for noisy MT-Bench: wide ones in plain colours."""
    from PIL import Image

    folder = root / "mt_bench_noisy" / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (800, 30), (12 * number, 0, 0)).save(folder / f"{number}.jpg")
    return folder
