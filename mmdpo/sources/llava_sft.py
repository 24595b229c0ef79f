"""LLaVA's visual instruction data (Liu et al., 2023): `{id, image, conversations: [{from, value}]}`.

Read as prompts (the first question) or as examples to learn (the last answer), and written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmdpo.records import Prompt, Rating, SftExample
from mmdpo.sources import tables
from mmdpo.sources.conversations import exchanges, image_name, marked, told, turns, unmarked, writable
from mmdpo.sources.rows import TEXT, BadRow, fields, named, text

COLUMNS = frozenset({"id", "image", "conversations", "rating"})
NAME = "conversations"


def prompt(row: Any) -> Prompt:
    """The human's first turn; raises BadRow."""
    row = fields(row)
    image, texts = _content(row)
    return Prompt(id=named(row), question=text(texts[0], NAME, TEXT), image=image)


def example(row: Any) -> SftExample:
    """The model's last turn as the answer to learn, what was said before as its history; raises BadRow."""
    row = fields(row)
    image, texts = _content(row)
    if len(texts) % 2:
        raise BadRow(f"field {NAME!r}: wrong turns", "the last is the human's; allowed: gpt's last")
    for words in texts:
        text(words, NAME, TEXT)
    *earlier, question, answer = texts
    return SftExample(named(row), question, answer, image, exchanges(earlier), _rating(row.get("rating")))


def write(examples: Iterable[SftExample], path: Path) -> int:
    """Write examples as LLaVA trains on them (.json or .jsonl); returns how many.

    A rating goes into a key of our own, which LLaVA's readers pass over.
    """
    return tables.write(path, _rows(examples))


def _rows(examples: Iterable[SftExample]) -> Iterator[dict[str, Any]]:
    for one in examples:
        said = [*told(one.history), {"from": "human", "value": one.question}]
        said.append({"from": "gpt", "value": one.answer})
        writable(one.id, (turn["value"] for turn in said))
        said[0]["value"] = marked(said[0]["value"], one.image)
        row: dict[str, Any] = {"id": one.id}
        if one.image is not None:
            row["image"] = one.image
        row[NAME] = said
        if one.rating is not None:
            row["rating"] = dict(one.rating)
        yield row


def _content(row: dict[str, Any]) -> tuple[str | None, list[str]]:
    image = image_name(row)
    return image, unmarked(turns(row.get(NAME), NAME), NAME, image, places=(0,))


def _rating(value: Any) -> Rating | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not value or any(type(number) is not int for number in value.values()):
        raise BadRow("field 'rating': wrong type", "allowed: an integer per attribute")
    return dict(value)
