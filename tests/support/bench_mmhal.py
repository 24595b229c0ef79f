"""Small files of our own in MMHal-Bench's formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.bench_run import write_images

JUDGE_PROMPT = "Rate it.\nContents: {}\nQuestion: {}\nStandard: {}\nAnswer: {}\n"
TYPES = ("attribute", "counting", "attribute")


def question_rows() -> list[dict[str, Any]]:
    return [
        {
            "question_type": kind,
            "question_topic": "indoor",
            "image_id": f"id{n}",
            "image_src": f"folder/of/photos/{n}_o.jpg",
            "image_content": ["Cup", "Table"],
            "question": f"How many cups in photo {n}?",
            "gt_answer": "Two.",
            "model_answer": "",
        }
        for n, kind in enumerate(TYPES)
    ]


def write_mmhal(root: Path, prompt: str | None = JUDGE_PROMPT) -> Path:
    """Write three questions about three images and, unless it is None, a prompt for the judge."""
    folder = root / "mmhal"
    write_images(folder / "images", [f"{n}_o.jpg" for n in range(len(TYPES))])
    (folder / "response_template.json").write_text(json.dumps(question_rows()))
    if prompt is not None:
        (folder / "judge_prompt.txt").write_text(prompt)
    return root
