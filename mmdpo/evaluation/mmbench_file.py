"""MMBench's table: the rows of each question, whose options are rotated from copy to copy, and the images in it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, require_file
from mmdpo.evaluation.foreign_files import id_text, read_rows, text_of
from mmdpo.evaluation.task import CLUSTER
from mmdpo.records import Prompt

STRIDE = 1_000_000
"""Copy k of question i has the index i + k * STRIDE."""
LETTERS = ("A", "B", "C", "D")
INSTRUCTION = "Answer with the option's letter from the given choices directly."

ANSWER, OPTIONS, COPIES, L2, QUESTION, SPLIT = "answer", "options", "copies", "l2_category", "question_text", "split"
"""Keys of `Prompt.facts`: the right letter, options by letter, the number of copies, and columns of the table."""

ABBREVIATIONS = {
    "coarse_perception": "CP",
    "finegrained_perception (instance-level)": "FP-S",
    "finegrained_perception (cross-instance)": "FP-C",
    "logic_reasoning": "LR",
    "relation_reasoning": "RR",
    "attribute_reasoning": "AR",
}
"""VLMEvalKit's names of the six abilities of `l2-category`."""

EDITIONS = {"b6caf113": "DEV_EN of VLMEvalKit", "30c05be8": "DEV_EN_V11 of VLMEvalKit"}
"""Editions by the start of their MD5."""
DEV, DEV_ROWS, DEV_QUESTIONS = "dev 20230712 (1,176 questions)", 4377, 1176
LONGEST_REFERENCE = 64  # characters of an image cell that names the row whose image is meant
SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"RI": ".webp", b"BM": ".bmp"}


def recognize(path: Path) -> str:
    """Name the edition of a table by its MD5, or by its numbers of rows and questions; empty for another one."""
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if name := next((name for start, name in EDITIONS.items() if digest.startswith(start)), ""):
        return name
    try:
        indices = [int(row["index"]) for _, row in _rows(path, "table")]
    except (UserError, KeyError, ValueError):
        return ""
    questions = {index % STRIDE for index in indices}
    return DEV if (len(indices), len(questions)) == (DEV_ROWS, DEV_QUESTIONS) else ""


TABLE = BenchFile(
    "mmbench_table",
    "mmbench/mmbench_dev_20230712.tsv",
    "OpenMMLab's MMBench, mmbench_dev_20230712.tsv, as LLaVA names it; or VLMEvalKit's MMBench_DEV_EN.tsv and "
    "MMBench_DEV_EN_V11.tsv, which are other editions",
    "none is stated for questions and images",
    rows=DEV_ROWS,
    recognize=recognize,
    also=("mmbench/MMBench_DEV_EN.tsv", "mmbench/MMBench_DEV_EN_V11.tsv"),
)


def read_questions(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the rows, one prompt each, and write each image once, below the folder.

    Raises:
        UserError: The table is missing, damaged or cut; or an index occurs twice, an answer is no letter, or an image
            is missing or broken.
    """
    path = require_file(bench, TABLE)
    where = f"bench.files.{TABLE.key}={path}"
    prompts: list[Prompt] = []
    images: dict[str, str] = {}
    for number, row in _rows(path, f"bench.files.{TABLE.key}"):
        place = f"{where}: row {number}"
        prompt = _prompt(row, place)
        images[prompt.id] = _write_image(folder, text_of(row.get("image")), place)
        prompts.append(prompt)
    prompts = _with_copies(prompts, where)
    return [replace(prompt, images=(_resolved(prompt.id, images, where),)) for prompt in prompts]


def questions_of_answers(path: Path) -> list[Prompt]:
    """Make the prompts, without images, from a file of answers with questions, options and right answers.

    Raises:
        UserError: The file has no such columns, or is damaged or cut.
    """
    rows = read_rows(path)
    if absent := [name for name in ("index", "question", "A", "answer") if all(name not in row for row in rows)]:
        raise UserError(
            f"{path}: has no column {', '.join(absent)}. Give the questions by bench.root=FOLDER or "
            f"+bench.files.{TABLE.key}=PATH, or name a file of answers with VLMEvalKit's columns"
        )
    distinct = {id_text(row.get("index")): (number, row) for number, row in enumerate(rows, 1)}
    return _with_copies([_prompt(row, f"{path}: row {number}") for number, row in distinct.values()], str(path))


def _rows(path: Path, key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows one at a time, because each holds an image."""
    from mmdpo.sources import rows, tables
    from mmdpo.sources.bad_rows import BadRow

    empty = True
    for number, raw in tables.rows(path, key):
        try:
            yield number, rows.fields(raw)
        except BadRow as error:
            raise UserError(f"{key}={path}: row {number}: {error}") from error
        empty = False
    if empty:
        raise UserError(f"{key}={path}: no rows; the file is empty or torn")


def _prompt(row: Mapping[str, Any], place: str) -> Prompt:
    index, answer, text = id_text(row.get("index")), text_of(row.get("answer")), text_of(row.get("question"))
    if not index.isdecimal():
        raise UserError(f"{place}: index {index!r}; it must be a whole number")
    if answer not in LETTERS:
        raise UserError(
            f"{place}: answer {answer!r}; allowed: {', '.join(LETTERS)}. A table without answers, such as that of the "
            "test split, cannot be scored: name one of the dev split"
        )
    if _is_empty(text):
        raise UserError(f"{place}: no question; name a complete table")
    options = {letter: value for letter in LETTERS if not _is_empty(value := text_of(row.get(letter)))}
    category, ability = text_of(row.get("category")), text_of(row.get("l2-category"))
    facts = {
        CLUSTER: str(int(index) % STRIDE),
        ANSWER: answer,
        OPTIONS: options,
        QUESTION: text,
        L2: ABBREVIATIONS.get(ability, ability),
        SPLIT: text_of(row.get("split")),
    }
    return Prompt(
        str(int(index)), question_text(text_of(row.get("hint")), text, options), category=category, facts=facts
    )


def question_text(hint: str, question: str, options: Mapping[str, str]) -> str:
    """Write a question as LLaVA asks it: the options stop at the first empty one."""
    lines = [] if _is_empty(hint) else [hint]
    lines.append(question)
    for letter in LETTERS:
        if letter not in options:
            break
        lines.append(f"{letter}. {options[letter]}")
    return "\n".join([*lines, INSTRUCTION])


def _is_empty(text: str) -> bool:
    return text.strip().lower() in ("", "nan", "none")


def _with_copies(prompts: Sequence[Prompt], where: str) -> list[Prompt]:
    """Note in each prompt how many copies its question has. Raises UserError for a double or missing index."""
    copies: dict[str, list[int]] = defaultdict(list)
    for prompt in prompts:
        copies[prompt.facts[CLUSTER]].append(int(prompt.id) // STRIDE)
    for question, numbers in copies.items():
        if len(set(numbers)) < len(numbers):
            raise UserError(f"{where}: index {question} or one of its copies occurs twice; name a file with each once")
        if sorted(numbers) != list(range(len(numbers))):
            first = min(set(range(max(numbers))) - set(numbers))
            raise UserError(f"{where}: index {int(question) + first * STRIDE} is missing; name a complete file")
    return [replace(one, facts={**one.facts, COPIES: len(copies[one.facts[CLUSTER]])}) for one in prompts]


def _write_image(folder: Path, cell: str, place: str) -> str:
    """Write the image of a cell and return its name; a cell that refers to another row is returned as it is."""
    from mmdpo.images import check_image

    if not cell:
        raise UserError(f"{place}: no image; name a complete table")
    if len(cell) <= LONGEST_REFERENCE:
        return cell
    try:
        content = base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{place}: the image is not base64, or torn ({error}); name a complete table") from error
    digest = hashlib.sha256(content).hexdigest()[:16]
    name = f"images/{digest}{SUFFIXES.get(content[:2], '')}"
    if not (path := folder / name).exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            check_image(path)
        except UserError as error:
            raise UserError(f"{place}: {error}; name a complete table") from error
    return name


def _resolved(index: str, images: Mapping[str, str], where: str) -> str:
    """Return the name of a row's image; VLMEvalKit's tables refer to the row that holds it."""
    name, seen = images[index], {index}
    while not name.startswith("images/"):
        if name in seen or name not in images:
            raise UserError(f"{where}: index {index}: its image {name!r} is in no row; name a complete table")
        seen.add(name)
        name = images[name]
    return name
