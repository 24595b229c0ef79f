"""Small files of our own in POPE's formats: labels of two images in three splits, and LLaVA's question file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdpo.evaluation.tasks.pope import SPLITS, SUFFIX
from tests.support.bench_run import write_images

IMAGES = ("COCO_val2014_1.jpg", "COCO_val2014_2.jpg")
PRESENT = ("cup", "dog")  # asked in each split
ABSENT = {"adversarial": ("fork", "cat"), "random": ("kite", "sofa"), "popular": ("chair", "car")}


def question(thing: str) -> str:
    return f"Is there a {thing} in the {'imange' if thing == 'cat' else 'image'}?"


def label_rows(split: str) -> list[dict[str, Any]]:
    """Four questions: image 1 has a cup, image 2 a dog."""
    things = [thing for pair in zip(PRESENT, ABSENT[split], strict=True) for thing in pair]
    return [
        {
            "question_id": number,
            "image": IMAGES[(number - 1) // 2],
            "text": question(thing),
            "label": "yes" if thing in PRESENT else "no",
        }
        for number, thing in enumerate(things, 1)
    ]


def write_pope(root: Path, questions: bool = True) -> Path:
    """Write labels, images and, with `questions`, LLaVA's question file, in another order than the labels."""
    for split in SPLITS:
        write_lines(root / "pope" / "coco" / f"coco_pope_{split}.json", label_rows(split))
    if questions:
        rows = [{**row, "category": split} for split in SPLITS for row in reversed(label_rows(split))]
        asked = [
            {"question_id": n, "image": row["image"], "text": row["text"] + SUFFIX, "category": row["category"]}
            for n, row in enumerate(rows, 1)
        ]
        write_lines(root / "pope" / "llava_pope_test.jsonl", asked)
    write_images(root / "pope" / "images", IMAGES)
    return root


def write_repope(root: Path) -> Path:
    """Write corrected labels: the cup is none, and the questions about dogs are ambiguous and left out."""
    for split in SPLITS:
        rows = [{**row, "label": "no"} if "cup" in row["text"] else row for row in label_rows(split)]
        path = root / "repope" / f"coco_repope_{split}.json"
        write_lines(path, [row for row in rows if "dog" not in row["text"]])
    return root


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
