"""A small table of our own in MMBench's format: two questions with rotated options, and their images as base64."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

STRIDE = 1_000_000
COLUMNS = (
    *("index", "question", "hint", "A", "B", "C", "D", "answer"),
    *("category", "image", "source", "l2-category", "comment", "split"),
)


def image_cell(red: int) -> str:
    """A small image as base64."""
    content = io.BytesIO()
    Image.new("RGB", (4, 3), (red, 100, 200)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def mmbench_row(index: int, answer: str, **columns: Any) -> dict[str, Any]:
    """A row; by default with two options and an image that the question's copies share."""
    row = {
        "question": "What is it?",
        "A": "cup",
        "B": "dog",
        "category": "identity_reasoning",
        "image": image_cell(index % STRIDE),
        "l2-category": "attribute_reasoning",
        "split": "dev",
    }
    return {**row, "index": index, "answer": answer, **columns}


def mmbench_rows() -> list[dict[str, Any]]:
    """Question 7 has two copies, question 8 three: its image is that of another row, and its text is that of 7."""
    other = {"category": "ocr", "l2-category": "finegrained_perception (instance-level)", "hint": "Look,\nclosely."}
    return [
        mmbench_row(7, "A"),
        mmbench_row(8, "A", C="cat", **other),
        mmbench_row(STRIDE + 7, "B", A="dog", B="cup", image="7"),
        mmbench_row(STRIDE + 8, "B", A="cat", B="cup", C="dog", **{**other, "image": "8"}),
        mmbench_row(2 * STRIDE + 8, "C", A="dog", B="cat", C="cup", **{**other, "image": "8"}),
    ]


def write_mmbench(root: Path, rows: Sequence[dict[str, Any]] | None = None) -> Path:
    """Write the table, as pandas does, below `root`."""
    path = root / "mmbench" / "mmbench_dev_20230712.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, delimiter="\t", restval="")
        writer.writeheader()
        writer.writerows(mmbench_rows() if rows is None else rows)
    return root
