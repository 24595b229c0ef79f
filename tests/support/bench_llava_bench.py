"""Small files of our own in LLaVA-Bench's formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.bench_pope import write_lines
from tests.support.bench_run import write_images

CATEGORIES = ("conv", "detail", "complex")
QUESTIONS = [
    {"image": f"00{1 + n // 2}.jpg", "text": f"Question {n}?", "category": CATEGORIES[n % 3], "question_id": n}
    for n in range(4)
]
CONTEXT = [
    {"id": "001", "image": "001.jpg", "caption": "A red ball."},
    {"id": "002", "image": "002.jpg", "caption": ["A blue box.", "It is open."]},
]
REFERENCES = [
    {"question_id": n, "prompt": f"Question {n}?", "answer_id": f"ref{n}", "text": f"Reference {n}."} for n in range(4)
]
RULES = {f"llava_bench_{name}": {"role": "Helper", "prompt": "Score both from 1 to 10."} for name in CATEGORIES}


def write_llava_bench(root: Path) -> Path:
    """Write four questions about two images. The references are in another order than the questions."""
    folder = root / "llava_bench"
    write_images(folder / "images", [str(row["image"]) for row in QUESTIONS])
    write_lines(folder / "questions.jsonl", QUESTIONS)
    write_lines(folder / "context.jsonl", CONTEXT)
    write_lines(folder / "answers_gpt4.jsonl", REFERENCES[::-1])
    (folder / "rule.json").write_text(json.dumps(RULES))
    return root


def review(question: int, content: str, scores: tuple[float, float] | None, **others: Any) -> dict[str, Any]:
    """A row of LLaVA's reviews."""
    category = f"llava_bench_{CATEGORIES[question % 3]}"
    row = {"id": 1, "question_id": question, "answer1_id": f"ref{question}", "answer2_id": f"own{question}"}
    return {**row, "category": category, "content": content, "tuple": scores and list(scores), **others}
