"""Answers in the formats of other programs: matched to samples by id and question, and written as LLaVA does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdpo.errors import UserError
from mmdpo.evaluation.bench_rows import Row, read_rows
from mmdpo.evaluation.task import Item, Response
from mmdpo.files import atomic_write, fingerprint, write_json
from mmdpo.records import Prompt
from mmdpo.sources.rows import whole

ANSWERS_OPTION = "--answers"


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
    path: Path, stored: Iterable[StoredAnswer], samples: Sequence[Prompt], key_of: Callable[[Prompt], str]
) -> list[Response]:
    """Turn stored answers into responses to the samples that they answer.

    Args:
        path: The file, for errors.
        stored: The answers.
        samples: The samples.
        key_of: The id that the file has for a sample.

    Returns:
        Responses in the order of the samples. Samples without an answer have none.

    Raises:
        UserError: A question has two different answers, the file has other questions, or none is answered.
    """
    by_key = {key_of(prompt): prompt for prompt in samples}
    found: dict[str, StoredAnswer] = {}
    others = []
    for answer in stored:
        prompt = by_key.get(answer.key)
        if prompt is None or answer.text is None:
            continue
        if answer.question is not None and answer.question.strip() != prompt.question.strip():
            others.append(answer)
        if found.setdefault(answer.key, answer).text != answer.text:
            raise UserError(f"{path}: question {answer.key} has two different answers; allowed: one per question")
    if others:
        first = others[0]
        raise UserError(
            f"{path}: {len(others)} of {len(found)} answers are to other questions. Question {first.key} is "
            f"{first.question!r} there and {by_key[first.key].question!r} here; choose the files of the same edition "
            "by bench.root=FOLDER or +bench.files.KEY=PATH"
        )
    if not found:
        raise UserError(
            f"{path}: none of its answers has the id of a question; allowed: {', '.join([*by_key][:3])}, ..."
        )
    answered = [(prompt, found[key]) for key, prompt in by_key.items() if key in found]
    return [Response(prompt.id, prompt.question, str(one.text), prompt.category) for prompt, one in answered]


def read_llava_answers(path: Path) -> list[StoredAnswer]:
    """Read a file that LLaVA's evaluation wrote: JSON lines of question_id, prompt and text."""
    return [
        StoredAnswer(id_text(row["question_id"]), answer_text(row, "text"), row.get("prompt"))
        for row in read_rows(path, ANSWERS_OPTION, "question_id")
    ]


def llava_answer_ids(path: Path) -> dict[str, str]:
    """Return LLaVA's ids of the answers in a file, by the file's ids of the questions."""
    rows = read_rows(path, ANSWERS_OPTION, "question_id")
    return {id_text(row["question_id"]): str(row["answer_id"]) for row in rows if row.get("answer_id")}


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
    import json

    with atomic_write(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return [path]


def write_object(path: Path, content: Any) -> list[Path]:
    """Write JSON and return the file."""
    write_json(path, content)
    return [path]


def answer_text(row: Row, field: str) -> str | None:
    """Return a field that holds an answer as text; None for a missing one."""
    value = row.get(field)
    return None if value is None else str(value)


def id_text(value: Any) -> str:
    """Return an id as text, without the fraction that tables write behind whole numbers."""
    return str(whole(value))
