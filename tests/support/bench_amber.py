"""Small files of our own in AMBER's formats: two captions and a question of each type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

TYPES = (
    ("discriminative-hallucination", "yes"),
    ("discriminative-hallucination", "no"),
    ("discriminative-attribute-state", "no"),
    ("discriminative-attribute-number", "yes"),
    ("discriminative-attribute-action", "no"),
    ("relation", "no"),
)
RELATIONS = {"cup": ["mug"], "dog": ["puppy"], "tree": [], "person": ["woman", "man"], "knife": [], "sign": []}


def amber_annotations() -> list[dict[str, Any]]:
    """Image 1 has a cup and persons, image 2 a dog; ids 3 and above are questions."""
    captions = [
        {"id": 1, "type": "generative", "truth": ["cup", "person"], "hallu": ["dog", "knife"]},
        {"id": 2, "type": "generative", "truth": ["dog"], "hallu": ["tree"]},
    ]
    return captions + [
        {"id": number, "type": kind, "truth": truth, "hallu": []} for number, (kind, truth) in enumerate(TYPES, 3)
    ]


def write_amber(root: Path) -> Path:
    """Write queries, annotations, word lists and images below `root`."""
    folder = root / "amber"
    folder.mkdir(parents=True, exist_ok=True)
    queries = [
        {
            "id": row["id"],
            "image": f"AMBER_{1 + row['id'] % 2}.jpg",
            "query": "Describe this image." if row["id"] < 3 else f"Is it {row['id']}?",
        }
        for row in amber_annotations()
    ]
    (folder / "query_all.json").write_text(json.dumps(queries))
    (folder / "annotations.json").write_text(json.dumps(amber_annotations()))
    (folder / "relation.json").write_text(json.dumps(RELATIONS))
    (folder / "safe_words.txt").write_text("sign\n")
    (folder / "images").mkdir(exist_ok=True)
    for number in (1, 2):  # colours that stay different in a JPEG file
        Image.new("RGB", (4, 3), (100 * number, 100, 200)).save(folder / "images" / f"AMBER_{number}.jpg")
    return root
