"""Raw files as `data=paper` expects them: rows of SciGraphQA and LRV-Instruct, with pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIDE = 160  # pixels


def photographs() -> list[Image.Image]:
    """Load a few real photographs."""
    from skimage import data

    return [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee", "chelsea", "page")]


def piece(pictures: list[Image.Image], number: int) -> Image.Image:
    """Crop a part of one of the pictures, a different part for each number."""
    picture = pictures[number % len(pictures)].convert("RGB")
    left = 7 * number % (picture.width - SIDE)
    top = 5 * number % (picture.height - SIDE)
    return picture.crop((left, top, left + SIDE, top + SIDE))


def write_raw_data(root: Path, each: int) -> Path:
    """Write `each` good rows of either source, and some bad ones."""
    pictures = photographs()
    for name in ("scigraphqa/rows", "scigraphqa/images", "lrv/images"):
        (root / name).mkdir(parents=True)
    rows: list[dict] = []
    for number in range(each):
        file = f"18{number:02d}.0{number:04d}v1-Figure{number % 9}-1.png"
        piece(pictures, number).save(root / "scigraphqa/images" / file)
        pairs = [[f"What does figure {number} show?", "A photograph."], ["And what else?", "Nothing."]]
        rows.append({"image_file": file, "id": f"paper{number}", "caption": "A figure", "q_a_pairs": pairs})
    rows.append({"image_file": file, "id": "none", "caption": "A figure", "q_a_pairs": None})
    rows.append({**rows[0], "image_file": "gone.png", "id": "gone"})
    half = len(rows) // 2
    for part, some in enumerate((rows[:half], rows[half:])):
        pq.write_table(pa.Table.from_pylist(some), root / f"scigraphqa/rows/train-{part}.parquet")
    listed = []
    for number in range(each):
        piece(pictures, number + each).save(root / f"lrv/images/{number}.jpg")
        question = f"Is there a horse in picture {number}?"
        listed.append({"image_id": str(number), "question": question, "answer": "No.", "task": "negative"})
    listed.append({"image_id": "0", "question": " ", "answer": "?", "task": "negative"})
    (root / "lrv/filter_cap1.json").write_text(json.dumps(listed))
    return root
