"""POPE: yes-or-no questions about things in photographs, in three splits with the same yes-questions.

There are two editions: LLaVA's, which published figures use (its random split has 2,910 questions), and upstream's of
today with 3,000 per split. Questions and labels are joined by image, text and split, never by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, find_file
from mmdpo.evaluation.bench_rows import Row, bench_rows, indexed
from mmdpo.evaluation.detectable import Detectable
from mmdpo.evaluation.scorers import WORDS, yes_no
from mmdpo.evaluation.solvers import short_answers
from mmdpo.evaluation.sums import SumStatistic, f1, mean, over_parts, precision, recall
from mmdpo.evaluation.task import Cluster, Item, Judge, Judgment, Metric, Response, Task, Upstream, Verdict
from mmdpo.evaluation.upstream_answers import first_line, match_answers, read_stored_answers, write_llava_answers
from mmdpo.records import Prompt

SPLITS = ("adversarial", "random", "popular")  # in the order of LLaVA's question file
SUFFIX = "\nAnswer the question using a single word or phrase."
LABELS = ("yes", "no")
OF_LLAVA, OF_UPSTREAM = "LLaVA's edition (8,910 questions)", "upstream's edition (9,000 questions)"
TYPO = ("imange", "image")  # in texts of LLaVA's edition


def recognize(path: Path) -> str:
    """Name the edition of a label file; LLaVA's has a typo in some texts, and fewer random questions."""
    content = path.read_bytes()
    return OF_LLAVA if TYPO[0].encode() in content or content.count(b'"question_id"') == 2910 else OF_UPSTREAM


def _label_file(split: str, sha256: str) -> BenchFile:
    return BenchFile(
        key=f"pope_{split}",
        name=f"pope/coco/coco_pope_{split}.json",
        origin=f"GitHub AoiDragon/POPE, commit e3e3926, output/coco/coco_pope_{split}.json, as LLaVA names it",
        licence="MIT",
        rows=None if split == "random" else 3000,
        editions={sha256: OF_LLAVA},
        recognize=recognize,
        also=(f"pope/coco_pope_{split}.json",),
    )


LABEL_FILES = {
    "adversarial": _label_file("adversarial", "1d8f0906a9b50c05640f6f23abfac97523be2a1bed28f7eadc63b811699b2d26"),
    "random": _label_file("random", "c16b65d2df6d70bb0814c8a4375833d39cdb09928fd936d3fc546491efa37f35"),
    "popular": _label_file("popular", "5b16653023bf4f64d57eb0d168259de6627f5cde7538b85ebed3cc33034aa6cc"),
}
QUESTION_FILE = BenchFile(
    key="pope_questions",
    name="pope/llava_pope_test.jsonl",
    origin="LLaVA's eval.zip; without it the questions are those of the label files",
    licence="Apache-2.0",
    rows=8910,
    editions={"1d3b41f0dced74b4f361c659787ef673497cfac54a6be7bde00eb405bab03c70": OF_LLAVA},
    required=False,
)
IMAGES = BenchFile(
    key="pope_images",
    name="pope/images/",
    origin="the 500 images of COCO val2014 that the questions name",
    licence="those of the photographs",
    also=("pope/val2014/", "coco/val2014/"),
)


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Join questions and labels; `facts` holds the label and the number of the question in LLaVA's files."""
    labels = {split: _labels(bench, split) for split in SPLITS}
    if (path := find_file(bench, QUESTION_FILE)) is None:
        rows = [{**row, "category": split} for split in SPLITS for row in labels[split].values()]
        asked = [{**row, "text": row["text"] + SUFFIX, "number": place} for place, row in enumerate(rows, 1)]
    else:
        rows = bench_rows(bench, QUESTION_FILE, question_id=int, image=str, text=str, category=str)
        indexed(rows, ["question_id"], str(path))
        asked = [{**row, "number": row["question_id"]} for row in rows]
    prompts = [_prompt(row, labels, path) for row in asked]
    _check_unique(prompts)
    if unasked := sum(map(len, labels.values())) - len(prompts):
        print_line(f"pope: {unasked:,} labels belong to no question of {path}; those questions are not asked")
    return prompts


def key_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return what identifies a question within a split: its image, and its text as both editions have it."""
    return row["image"], _mended(first_line(row["text"]))


def _mended(text: str) -> str:
    return text.replace(*TYPO)


def label_rows(bench: BenchConfig, file: BenchFile) -> dict[tuple[str, str], Row]:
    """Read a file of labels by image and text. Raises UserError for double questions and for other labels."""
    place = f"bench.files.{file.key}={find_file(bench, file)}"
    rows = bench_rows(bench, file, question_id=int, image=str, text=str, label=str)
    for row in rows:
        if row["label"] not in LABELS:
            raise UserError(f"{place}: question {row['question_id']} has label {row['label']!r}; allowed: yes, no")
    indexed(rows, ["question_id"], place)
    keyed = [{**row, "key": key_of(row)} for row in rows]
    return indexed(keyed, ["key"], place)


def _labels(bench: BenchConfig, split: str) -> dict[tuple[str, str], Row]:
    return label_rows(bench, LABEL_FILES[split])


def _prompt(row: Row, labels: Mapping[str, Mapping[tuple[str, str], Row]], path: Path | None) -> Prompt:
    split = row["category"]
    if split not in labels:
        raise UserError(f"{path}: category {split!r}; allowed: {', '.join(SPLITS)}")
    if (label := labels[split].get(key_of(row))) is None:
        raise UserError(
            f"{path}: question {row['number']} ({row['image']}, {row['text']!r}) has no label in {split}: the label "
            f"files are of another edition. Type +bench.files.pope_{split}=PATH, or take the question file away"
        )
    facts = {"answer": [label["label"]], "question_id": row["number"]}
    return Prompt(f"{split}/{label['question_id']}", row["text"], (row["image"],), category=split, facts=facts)


def _check_unique(prompts: Sequence[Prompt]) -> None:
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise UserError(f"bench.files.{QUESTION_FILE.key}: question {prompt.id} is asked twice")
        seen.add(prompt.id)


def scorer(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Read the answers case-blind; unparsed ones are wrong. `upstream` holds upstream's reading."""
    return [
        replace(
            verdict,
            parts={**verdict.parts, "split": float(SPLITS.index(prompt.category))},
            upstream={"said_yes": float(reads_as_yes(response.answer))},
            groups={"": prompt.category},
        )
        for (prompt, response), verdict in zip(items, yes_no(items, judge, bench), strict=True)
    ]


def reads_as_yes(text: str) -> bool:
    """Read an answer as upstream's script: whatever has no "No", "no" or "not" in its first sentence is a yes."""
    words = text.split(".")[0].replace(",", "").split(" ")
    return not {"No", "no", "not"} & set(words)


def over_splits(statistic: SumStatistic) -> SumStatistic:
    """Return the mean over splits of a statistic. The last column that it takes is the number of the split."""
    return over_parts(statistic, len(SPLITS))


YES = ("said_yes", "is_yes", "split")
METRICS = (
    Metric("f1", YES, over_splits(f1), label="F1, mean over splits", scale=(0, 1)),
    Metric("accuracy", ("score", "split"), over_splits(mean), scale=(0, 1)),
    Metric("precision", YES, over_splits(precision), scale=(0, 1)),
    Metric("recall", YES, over_splits(recall), scale=(0, 1)),
    Metric("yes_ratio", ("said_yes", "split"), over_splits(mean), scale=(0, 1), higher_is_better=None),
    Metric("unparsed", ("unparsed", "split"), over_splits(mean), scale=(0, 1), higher_is_better=False),
    WORDS,
)


def upstream_scores(judgments: Sequence[Judgment]) -> dict[str, float]:
    """Compute what LLaVA's eval_pope.py prints per split, and the mean of the F1 scores.

    A split for which upstream divides by zero has its four counts only, and there is no mean.
    """
    found: dict[str, float] = {}
    scores: list[float | None] = []
    for split in SPLITS:
        members = [one for one in judgments if one.groups.get("") == split]
        if members:
            counts, rates = _counts(members), _rates(members)
            found |= {f"{split}/{name}": value for name, value in {**counts, **rates}.items()}
            if rates:
                found[split] = rates["f1"]
            scores.append(rates.get("f1"))
    known = [score for score in scores if score is not None]
    return {"": sum(known) / len(known), **found} if known and len(known) == len(scores) else found


def _counts(members: Sequence[Judgment]) -> dict[str, float]:
    pairs = [(bool(one.upstream["said_yes"]), bool(one.parts["is_yes"])) for one in members]
    kinds = {"tp": (True, True), "fp": (True, False), "tn": (False, False), "fn": (False, True)}
    return {name: pairs.count(kind) for name, kind in kinds.items()}


def _rates(members: Sequence[Judgment]) -> dict[str, float]:
    tp, fp, tn, fn = _counts(members).values()
    try:
        precise, recalled = tp / (tp + fp), tp / (tp + fn)
        score = 2 * precise * recalled / (precise + recalled)
    except ZeroDivisionError:
        return {}
    accuracy, yes_ratio = (tp + tn) / len(members), (tp + fp) / len(members)
    return {"accuracy": accuracy, "precision": precise, "recall": recalled, "f1": score, "yes_ratio": yes_ratio}


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read LLaVA's answers; `question_id` counts the questions of llava_pope_test.jsonl."""
    stored = read_stored_answers(path)
    return match_answers(path, stored, prompts, lambda prompt: str(_number(prompt)), _mended)


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write answers as LLaVA does, below a folder of the task."""
    return write_llava_answers(folder / "pope" / f"{model}.jsonl", items, model, _number)


def _number(prompt: Prompt) -> int:
    return int(prompt.facts["question_id"])


TASK = Task(
    label="POPE (F1)",
    samples=samples,
    solver=short_answers("Yes", "No", max_new_tokens=128),
    scorer=scorer,
    metrics=METRICS,
    main_metric="f1",
    groups=("",),
    group_metrics=("accuracy", "precision", "recall", "f1", "yes_ratio"),
    cluster=Cluster.image,
    bench_files=(*LABEL_FILES.values(), QUESTION_FILE),
    image_folder=IMAGES,
    upstream=Upstream(upstream_scores, write_answers=write_answers, read_answers=read_answers),
    detectable=Detectable(0.01, 500, "stored answers of LLaVA-1.5"),
    order=150,
)
