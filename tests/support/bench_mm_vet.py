"""Small files of our own in MM-Vet's formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.bench_run import write_images

ENTRIES: dict[str, dict[str, Any]] = {
    "v1_0": {"imagename": "v1_0.png", "question": "What is x?", "answer": "3<AND>4", "capability": ["math", "ocr"]},
    "v1_1": {"imagename": "v1_0.png", "question": "What is y?", "answer": "5<OR>five", "capability": ["ocr"]},
    "v1_2": {"imagename": "v1_2.png", "question": "Which bird?", "answer": "a wren", "capability": ["rec"]},
}
JUDGE_PROMPT = "Grade it.\nQ | T | P | G\nHow many? | 1 | one | 1.0\n"


def write_mm_vet(root: Path, prompt: str | None = JUDGE_PROMPT) -> Path:
    """Write three questions about two images and, unless it is None, a prompt for the judge."""
    folder = root / "mm_vet"
    write_images(folder / "images", [entry["imagename"] for entry in ENTRIES.values()])
    (folder / "mm-vet.json").write_text(json.dumps({k: {**v, "imagesource": "web"} for k, v in ENTRIES.items()}))
    if prompt is not None:
        (folder / "judge_prompt.txt").write_text(prompt)
    return root


def write_grades(path: Path, replies: dict[str, list[str]], scores: dict[str, list[float]] | None = None) -> Path:
    """Write grades of the judge `gpt-4`, an entry per run; the scores are those of the replies unless given."""
    rows = {
        name: {
            "model": ["gpt-4"] * len(texts),
            "content": texts,
            "score": (scores or {}).get(name) or [float(text) for text in texts],
        }
        for name, texts in replies.items()
    }
    path.write_text(json.dumps(rows))
    return path
