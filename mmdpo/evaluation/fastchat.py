"""FastChat's files of MT-Bench: questions, reference answers, answers and judgments."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile
from mmdpo.evaluation.bench_rows import bench_rows
from mmdpo.evaluation.foreign_files import id_text, read_rows
from mmdpo.evaluation.rubrics.mt_bench import HIGHEST, LOWEST, REFERENCED, REFERENCES, part_of
from mmdpo.evaluation.task import TURNS, Item, Response, StoredReply
from mmdpo.files import atomic_write, fingerprint
from mmdpo.records import Prompt, Turn

ERROR = "$ERROR$"
"""The text that FastChat stores when the judge did not answer."""
TWO = 2  # turns

QUESTIONS = BenchFile(
    "mt_bench_questions",
    "mt_bench/question.jsonl",
    "lm-sys/FastChat, fastchat/llm_judge/data/mt_bench/question.jsonl",
    "Apache-2.0",
    rows=80,
    editions={"119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7": "FastChat"},
)
REFERENCE_ANSWERS = BenchFile(
    "mt_bench_references",
    "mt_bench/reference_answer/{references}.jsonl",
    "lm-sys/FastChat, fastchat/llm_judge/data/mt_bench/reference_answer/gpt-4.jsonl; gpt-4-0125-preview.jsonl: its "
    "pull request 3158",
    "Apache-2.0",
    rows=30,
    editions={
        "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f": "gpt-4 (13 of 30 are wrong)",
        "e484037da5cc14007dde1d821ef76046fccbd0b2f095237fad9ead2c4fc66800": "gpt-4-0125-preview (corrected)",
    },
)


def read_questions(bench: BenchConfig) -> list[Prompt]:
    """Read the questions with their references.

    Raises:
        UserError: A file is missing or damaged, a question has not two turns or is there twice, or a reference lacks.
    """
    key = f"bench.files.{QUESTIONS.key}"
    references = read_references(bench)
    prompts: dict[str, Prompt] = {}
    for row in bench_rows(bench, QUESTIONS, "question_id", "category", "turns"):
        name, turns = id_text(row["question_id"]), row["turns"]
        if name in prompts:
            raise UserError(f"{key}: question {name} is there twice; name a file with unique question_id")
        _require_turns(turns, f"{key}: question {name}")
        facts: dict[str, Any] = {TURNS: turns}
        if row["category"] in REFERENCED:
            if name not in references:
                raise UserError(
                    f"bench.references={bench.references}: no reference answer to question {name} ({row['category']}); "
                    f"name a complete file by +bench.files.{REFERENCE_ANSWERS.key}=PATH"
                )
            facts[REFERENCES] = references[name]
        prompts[name] = Prompt(name, turns[0], category=str(row["category"]), facts=facts)
    return list(prompts.values())


def read_references(bench: BenchConfig) -> dict[str, list[str]]:
    """Read the reference answers to both turns by question. Raises UserError for a missing or damaged file."""
    rows = bench_rows(bench, REFERENCE_ANSWERS, "question_id", "choices")
    where = f"bench.files.{REFERENCE_ANSWERS.key}"
    return {id_text(row["question_id"]): _first_choice(row, where) for row in rows}


def answer_writer(name: str) -> Callable[[Path, Sequence[Item], str], list[Path]]:
    """Return a function that writes answers as FastChat's gen_model_answer does, below a folder of this name."""

    def write(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
        path = folder / name / f"{model.replace('/', '_')}.jsonl"
        with atomic_write(path) as aside:
            lines = [json.dumps(_answer_row(response, model), ensure_ascii=False) for _, response in items]
            aside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return [path]

    return write


def _answer_row(response: Response, model: str) -> dict[str, Any]:
    """Return a row whose id and time do not change between runs."""
    turns = list(response.answers)
    number = int(response.id) if response.id.isdecimal() else response.id
    return {
        "question_id": number,
        "answer_id": fingerprint([model, response.id, turns], length=22),
        "model_id": model,
        "choices": [{"index": 0, "turns": turns}],
        "tstamp": 0.0,
    }


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read a file of answers; of several to one question the last one counts, as in FastChat.

    Args:
        path: The file.
        prompts: The samples; answers to other questions are left out.
        bench: Not used.

    Returns:
        The responses to the samples that have one. Only the first choice is judged.

    Raises:
        UserError: The file is damaged, or an answer has not two turns.
    """
    known = {prompt.id: prompt for prompt in prompts}
    found: dict[str, Response] = {}
    for row in read_rows(path):
        prompt = known.get(id_text(row.get("question_id")))
        if prompt is None:
            continue
        first, second = _first_choice(row, str(path))
        history = (Turn(prompt.facts[TURNS][0], first),)
        found[prompt.id] = Response(prompt.id, prompt.question, second, prompt.category, history)
    return [found[prompt.id] for prompt in prompts if prompt.id in found]


def _first_choice(row: dict[str, Any], where: str) -> list[str]:
    try:
        turns = row["choices"][0]["turns"]
    except (KeyError, IndexError, TypeError):
        raise UserError(
            f"{where}: question {row.get('question_id')} has no choices[0].turns; name a file of FastChat's answers"
        ) from None
    _require_turns(turns, f"{where}: question {row.get('question_id')}")
    return list(turns)


def _require_turns(turns: Any, where: str) -> None:
    if not isinstance(turns, list) or len(turns) != TWO or not all(isinstance(turn, str) for turn in turns):
        seen = f"{len(turns)} turns" if isinstance(turns, list) else f"{turns!r:.40}"
        raise UserError(f"{where}: {seen}; it must have {TWO} texts")


def read_judgments(path: Path, prompts: Sequence[Prompt], model: str) -> list[StoredReply]:
    """Read a file of FastChat's single-answer judgments.

    Args:
        path: The file; a second run of FastChat has appended rows, which are all returned.
        prompts: The samples; judgments of other questions are left out.
        model: The model, if the file holds several; empty if it must hold one.

    Returns:
        The judge's replies. A failure of the judge has no text.

    Raises:
        UserError: The file is damaged, holds other judgments, or does not say which rows are the model's.
    """
    rows = read_rows(path)
    for row in rows:
        if not {"question_id", "model", "turn", "score"} <= row.keys():
            raise UserError(
                f"{path}: a row has the fields {', '.join(row)}; allowed: FastChat's single-answer judgments, with "
                "question_id, model, turn and score"
            )
    models = list(dict.fromkeys(str(row["model"]) for row in rows))
    if len(models) > 1 and model not in models:
        named = f"{model} is not among them" if model else "none is chosen"
        raise UserError(f"{path}: judgments of the models {', '.join(models)}; {named}. Give answers of one model_id")
    rows = [row for row in rows if len(models) == 1 or row["model"] == model]
    if len(judges := sorted({_judge_of(row) for row in rows})) > 1:
        raise UserError(f"{path}: judgments of several judges ({', '.join(judges)}); keep the rows of one judge")
    known = {prompt.id for prompt in prompts}
    return [_stored(row, path) for row in rows if id_text(row["question_id"]) in known]


def _judge_of(row: dict[str, Any]) -> str:
    judge = row.get("judge")
    return str(judge[0]) if isinstance(judge, list) and judge else ""


def _stored(row: dict[str, Any], path: Path) -> StoredReply:
    score, turn, text = row["score"], row["turn"], row.get("judgment")
    if turn not in (1, TWO) or isinstance(score, bool) or not isinstance(score, int | float):
        raise UserError(f"{path}: question {row['question_id']}: turn {turn!r}, score {score!r}; both must be numbers")
    text = text if isinstance(text, str) and text.strip() != ERROR else None
    request = row.get("user_prompt")
    return StoredReply(
        sample=id_text(row["question_id"]),
        part=part_of(int(turn)),
        repeat=0,
        text=text,
        request=request if isinstance(request, str) else None,
        judge=_judge_of(row),
        value=None if text is None and not LOWEST <= score <= HIGHEST else float(score),
    )
