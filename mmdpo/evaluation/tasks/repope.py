"""RePOPE: POPE's questions with corrected labels; ambiguous questions are left out.

The samples are those of POPE and are asked as there, so that equal answers serve both tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile
from mmdpo.evaluation.task import Item, Upstream
from mmdpo.evaluation.tasks import pope
from mmdpo.evaluation.upstream_answers import write_llava_answers
from mmdpo.records import Prompt


def _label_file(split: str) -> BenchFile:
    return BenchFile(
        key=f"repope_{split}",
        name=f"repope/coco_repope_{split}.json",
        origin=f"GitHub YanNeu/RePOPE, annotations/coco_repope_{split}.json",
        licence="not stated; see the repository",
        also=(f"repope/annotations/coco_repope_{split}.json",),
    )


LABEL_FILES = {split: _label_file(split) for split in pope.SPLITS}


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Return POPE's samples that have a corrected label, with that label."""
    labels = {split: pope.label_rows(bench, file) for split, file in LABEL_FILES.items()}
    found = []
    for prompt in pope.samples(bench, folder):
        key = pope.key_of({"image": prompt.images[0], "text": prompt.question})
        if (row := labels[prompt.category].pop(key, None)) is not None:
            found.append(replace(prompt, facts={**prompt.facts, "answer": [row["label"]]}))
    if not found:
        raise UserError(
            "repope: no label belongs to a question of POPE's files; type +bench.files.repope_random=PATH and so on"
        )
    if unused := sum(map(len, labels.values())):
        print_line(f"repope: {unused:,} labels belong to no question of POPE's files and are not used")
    return found


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write answers as LLaVA does for POPE, below a folder of the task."""
    path = folder / "repope" / f"{model}.jsonl"
    return write_llava_answers(path, items, model, lambda prompt: int(prompt.facts["question_id"]))


TASK = replace(
    pope.TASK,
    label="RePOPE (F1)",
    samples=samples,
    bench_files=(*LABEL_FILES.values(), *pope.TASK.bench_files),
    upstream=Upstream(pope.upstream_scores, write_answers=write_answers, read_answers=pope.read_answers),
    order=155,
)
