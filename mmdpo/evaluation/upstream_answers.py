"""Answers in the formats of other programs: matched to samples by id and question, and written as LLaVA does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdpo.errors import UserError
from mmdpo.evaluation.foreign_files import Row, answer_text, first_of, read_rows, rows_by_id
from mmdpo.evaluation.task import Item, Response
from mmdpo.files import atomic_write, fingerprint, write_json
from mmdpo.records import Prompt

IDS = ("question_id", "index", "id")
ANSWERS = ("prediction", "text")  # VLMEvalKit's `answer` is the right one
QUESTIONS = ("prompt", "question")
IMAGE_MARK = "<image>"


@dataclass(frozen=True)
class StoredAnswer:
    """An answer in a file.

    Attributes:
        key: The file's id of the question.
        text: The answer; None where the file has none.
        question: The question as the file has it; None if it has none.
    """

    key: str
    text: str | None
    question: str | None = None


def match_answers(
    path: Path,
    stored: Iterable[StoredAnswer],
    samples: Sequence[Prompt],
    key_of: Callable[[Prompt], str],
    normalized: Callable[[str], str] = str,
) -> list[Response]:
    """Turn stored answers into responses to the samples that they answer.

    Args:
        path: The file, for errors.
        stored: The answers, one per question.
        samples: The samples.
        key_of: The id that the file has for a sample.
        normalized: Mend what editions write differently. Of two questions the first lines are compared: programs add
            instructions of their own below.

    Returns:
        Responses in the order of the samples. Samples without an answer, or with one to another question, have none.

    Raises:
        UserError: No question of the samples is answered, or less than half of those with a known id.
    """
    by_key = {key_of(prompt): prompt for prompt in samples}
    found: dict[str, StoredAnswer] = {}
    others = []
    for answer in stored:
        if (prompt := by_key.get(answer.key)) is None or answer.text is None:
            continue
        asked = answer.question
        if asked is not None and normalized(first_line(asked)) != normalized(first_line(prompt.question)):
            others.append(answer)
        else:
            found[answer.key] = answer
    if len(others) > len(found):
        first = others[0]
        raise UserError(
            f"{path}: {len(others)} of {len(others) + len(found)} answers are to other questions. Question {first.key} "
            f"is {first.question!r} there and {by_key[first.key].question!r} here; name the files of the same edition "
            "by bench.root=FOLDER or +bench.files.KEY=PATH"
        )
    if not found:
        raise UserError(f"{path}: none of its answers has the id of a question, such as {', '.join([*by_key][:3])}")
    answered = [(prompt, found[key]) for key, prompt in by_key.items() if key in found]
    return [Response(prompt.id, prompt.question, str(one.text), prompt.category) for prompt, one in answered]


def first_line(text: str) -> str:
    """Return the first line of a question, without the mark of an image and with single spaces."""
    return " ".join(text.replace(IMAGE_MARK, "").strip().partition("\n")[0].split())


def read_stored_answers(path: Path) -> list[StoredAnswer]:
    """Read the answers of LLaVA's, MM-Vet's or VLMEvalKit's files, one per id."""
    rows = rows_by_id(read_rows(path), IDS, ANSWERS)
    return [StoredAnswer(key, answer_text(row, ANSWERS), _question(row)) for key, row in rows.items()]


def _question(row: Row) -> str | None:
    value = first_of(row, QUESTIONS)
    return None if value is None else str(value)


def llava_answer_ids(path: Path) -> dict[str, str]:
    """Return LLaVA's ids of the answers in a file, by the file's ids of the questions."""
    return {key: str(row["answer_id"]) for key, row in rows_by_id(read_rows(path)).items() if row.get("answer_id")}


def write_llava_answers(path: Path, items: Sequence[Item], model: str, key_of: Callable[[Prompt], int]) -> list[Path]:
    """Write answers as LLaVA's evaluation does, ordered by question.

    Args:
        path: The file.
        items: Samples and responses.
        model: The name of the model.
        key_of: LLaVA's id of a sample's question.

    Returns:
        The file.
    """
    rows = [
        {
            "question_id": key_of(prompt),
            "prompt": prompt.question,
            "text": response.answer,
            "answer_id": fingerprint([model, prompt.id, prompt.question, response.answer], length=22),
            "model_id": model,
            "metadata": {},
        }
        for prompt, response in items
    ]
    return write_lines(path, sorted(rows, key=lambda row: int(row["question_id"])))


def write_lines(path: Path, rows: Iterable[Row]) -> list[Path]:
    """Write JSON lines and return the file."""
    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return [path]


def write_object(path: Path, content: Any) -> list[Path]:
    """Write JSON and return the file."""
    write_json(path, content)
    return [path]
