"""LLaVA's visual instruction data (Liu et al., 2023): `{id, image, conversations: [{from, value}]}`.

The first question is read as a prompt, or the last answer as an example to learn. Examples can be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmdpo.records import Prompt, Rating, SftExample
from mmdpo.sources import tables
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.conversations import (
    add_marker,
    check_writable,
    conversation_texts,
    history_to_turns,
    image_name,
    remove_markers,
    turns_to_history,
)
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.rows import require_id, require_text

COLUMNS = frozenset({"id", "image", "conversations", "rating"})
CONVERSATIONS = "conversations"


def write(examples: Iterable[SftExample], path: Path) -> int:
    """Write examples in LLaVA's training format (.json or .jsonl) and return their number.

    Ratings are written to a key of mmdpo, which LLaVA's readers ignore.
    """
    return tables.write_rows(path, _rows(examples))


def _prompt(row: dict[str, Any]) -> Prompt:
    """Read the human's first turn."""
    images, texts = _conversation(row)
    return Prompt(id=require_id(row), question=require_text(texts[0], CONVERSATIONS), images=images)


def _example(row: dict[str, Any]) -> SftExample:
    """Read the model's last turn as the answer to learn, and the turns before the last question as history."""
    images, texts = _conversation(row)
    if len(texts) % 2:
        raise BadRow(f"field {CONVERSATIONS!r}: wrong turns", "the last is the human's; allowed: gpt's last")
    for text in texts:
        require_text(text, CONVERSATIONS)
    *earlier, question, answer = texts
    return SftExample(require_id(row), question, answer, images, turns_to_history(earlier), _rating(row.get("rating")))


def _rows(examples: Iterable[SftExample]) -> Iterator[dict[str, Any]]:
    for example in examples:
        turns = [*history_to_turns(example.history), {"from": "human", "value": example.question}]
        turns.append({"from": "gpt", "value": example.answer})
        check_writable(example.id, (turn["value"] for turn in turns))
        turns[0]["value"] = add_marker(turns[0]["value"], example.images)
        row: dict[str, Any] = {"id": example.id}
        if example.images:
            row["image"] = example.images[0]
        row[CONVERSATIONS] = turns
        if example.rating is not None:
            row["rating"] = dict(example.rating)
        yield row


def _conversation(row: dict[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    image = image_name(row)
    texts = conversation_texts(row.get(CONVERSATIONS), CONVERSATIONS)
    return () if image is None else (image,), remove_markers(texts, CONVERSATIONS, image, indices=(0,))


def _rating(value: Any) -> Rating | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not value or any(type(number) is not int for number in value.values()):
        raise BadRow("field 'rating': wrong type", "allowed: an integer per attribute")
    return dict(value)


PROMPTS = Format(COLUMNS, by_row(_prompt))
EXAMPLES = Format(COLUMNS, by_row(_example))
