"""AMBER's files: queries, annotations, associated words and safe words; and answers in its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, require_file
from mmdpo.evaluation.bench_rows import bench_rows, indexed, read_object, read_text
from mmdpo.evaluation.foreign_files import answer_text, id_text, read_rows, rows_by_id
from mmdpo.evaluation.task import Item, Response
from mmdpo.evaluation.upstream_answers import StoredAnswer, match_answers, write_object
from mmdpo.records import Prompt

GENERATIVE = "generative"
CAPTIONS, RELATION = "captions", "relation"
CATEGORIES = {
    GENERATIVE: CAPTIONS,
    "discriminative-hallucination": "existence",
    "discriminative-attribute-state": "state",
    "discriminative-attribute-number": "number",
    "discriminative-attribute-action": "action",
}
"""Categories by AMBER's type; every other type is a relation."""
ATTRIBUTES = ("state", "number", "action")

ANSWER, TRUTH, INVENTED = "answer", "truth", "invented"
"""Keys of `Prompt.facts`: the right answer, or the objects that are in the image and those that models invent."""

ORIGIN, LICENCE = "GitHub junyangwang0410/AMBER, commit 5e1fd52, data/{}", "Apache-2.0"


COUNTS = (1004, 14216)  # captions and questions of the edition that papers use


def recognize(path: Path) -> str:
    """Name the edition of annotations by their numbers of captions and questions; empty for another one."""
    try:
        types = [row.get("type") for row in read_rows(path)]
    except UserError:
        return ""
    captions = types.count(GENERATIVE)
    return "1,004 captions, 14,216 questions" if (captions, len(types) - captions) == COUNTS else ""


def _file(
    key: str, name: str, upstream: str, rows: int | None = None, recognize: Callable[[Path], str] | None = None
) -> BenchFile:
    return BenchFile(
        f"amber_{key}",
        f"amber/{name}",
        ORIGIN.format(upstream),
        LICENCE,
        rows=rows,
        recognize=recognize,
        also=tuple(dict.fromkeys((f"amber/{upstream}", f"amber/data/{upstream}"))),
    )


QUERIES = _file("queries", "query_all.json", "query/query_all.json", 15220)
ANNOTATIONS = _file("annotations", "annotations.json", "annotations.json", 15220, recognize)
RELATIONS = _file("relations", "relation.json", "relation.json")
SAFE_WORDS = _file("safe_words", "safe_words.txt", "safe_words.txt")
IMAGES = BenchFile(
    "amber_images",
    "amber/images/",
    "the 1,004 images that AMBER's README links to, AMBER_1.jpg to AMBER_1004.jpg",
    "those of the photographs",
    also=("amber/image/", "amber/data/images/"),
)


def read_queries(bench: BenchConfig) -> list[Prompt]:
    """Join queries and annotations by id.

    Raises:
        UserError: A file is missing, damaged or of another edition.
    """
    place = f"bench.files.{QUERIES.key}"
    queries = indexed(bench_rows(bench, QUERIES, id=int, image=str, query=str), ["id"], place)
    annotated = indexed(bench_rows(bench, ANNOTATIONS, "truth", id=int, type=str), ["id"], _key(ANNOTATIONS))
    if absent := queries.keys() - annotated.keys():
        raise UserError(
            f"{_key(ANNOTATIONS)}: no annotation of query {min(absent)}, and of {len(absent)} in total; name the file "
            f"that belongs to {place}"
        )
    return [_prompt(row, annotated[number]) for number, row in queries.items()]


def _prompt(row: Mapping[str, Any], annotation: Mapping[str, Any]) -> Prompt:
    place, truth = f"{_key(ANNOTATIONS)}: id {row['id']}", annotation["truth"]
    category = CATEGORIES.get(annotation["type"], RELATION)
    if category == CAPTIONS:
        facts: dict[str, Any] = {
            TRUTH: _words(truth, f"{place}: truth"),
            INVENTED: _words(annotation.get("hallu"), f"{place}: hallu"),
        }
    else:
        if truth not in ("yes", "no"):
            raise UserError(f"{place}: truth {truth!r}; allowed: yes, no")
        facts = {ANSWER: [truth]}
    return Prompt(str(row["id"]), row["query"], (row["image"],), category=category, facts=facts)


def _words(value: Any, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UserError(f"{place}: {value!r:.40}; allowed: a list of words")
    return [word.lower() for word in value]


def read_relations(bench: BenchConfig) -> dict[str, list[str]]:
    """Read the words that stand for each object. Raises UserError for a damaged file."""
    rows = read_object(require_file(bench, RELATIONS), _key(RELATIONS))
    return {word.lower(): _words(others, f"{_key(RELATIONS)}: {word}") for word, others in rows.items()}


def read_safe_words(bench: BenchConfig) -> set[str]:
    """Read the words that are never counted as invented. Raises UserError for a damaged file."""
    return {*read_text(require_file(bench, SAFE_WORDS), _key(SAFE_WORDS)).lower().split()}


def _key(file: BenchFile) -> str:
    return f"bench.files.{file.key}"


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read a list of {id, response}, or of VLMEvalKit's predictions; answers to other queries are left out."""
    columns = ("response", "prediction", "text")
    rows = rows_by_id(read_rows(path), ("id", "question_id", "index"), columns)
    stored = [StoredAnswer(id_text(key), answer_text(row, columns)) for key, row in rows.items()]
    return match_answers(path, stored, prompts, lambda prompt: prompt.id)


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write answers as AMBER's script reads them."""
    rows = [{"id": int(prompt.id), "response": response.answer} for prompt, response in items]
    return write_object(folder / "amber" / f"{model.replace('/', '_')}.json", rows)
