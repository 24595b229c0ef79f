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
    check_writable,
    conversation_texts,
    image_column,
    image_names,
    image_to_front,
    marked_texts,
    split_system,
    texts_to_turns,
    turns_to_messages,
)
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.markers import MARKER, forbid_markers
from mmdpo.sources.rows import require_id, require_text, whole
from mmdpo.sources.turns import Dialogue, make_dialogue, one_system, read_messages

COLUMNS = frozenset({"id", "image", "conversations", "rating", "system"})
CONVERSATIONS = "conversations"


def write(examples: Iterable[SftExample], path: Path) -> int:
    """Write examples in LLaVA's training format (.json or .jsonl) and return their number.

    Ratings are written to a key of mmdpo, which LLaVA's readers ignore.
    """
    return tables.write_rows(path, _rows(examples))


def _prompt(row: dict[str, Any]) -> Prompt:
    """Read the human's first turn."""
    images, system, texts = _conversation(row)
    if any(MARKER in text for text in texts[1:]):
        detail = f"allowed: {MARKER} in the first turn, which is the prompt"
        raise BadRow(f"field {CONVERSATIONS!r}: misplaced image marker", detail)
    found = _dialogue(texts[:1], images, system)
    return Prompt(
        require_id(row), found.question, images=images, system=found.system, image_positions=found.image_positions
    )


def _example(row: dict[str, Any]) -> SftExample:
    """Read the model's last turn as the answer to learn, and the turns before the last question as history."""
    images, system, texts = _conversation(row)
    if len(texts) % 2:
        raise BadRow(f"field {CONVERSATIONS!r}: wrong turns", "the last is the human's; allowed: gpt's last")
    answer = require_text(texts[-1], CONVERSATIONS)
    forbid_markers([answer], CONVERSATIONS)
    found = _dialogue(texts[:-1], images, system)
    return SftExample(
        id=require_id(row),
        question=found.question,
        answer=answer,
        images=images,
        history=found.history,
        rating=_rating(row.get("rating")),
        system=found.system,
        image_positions=found.image_positions,
    )


def _rows(examples: Iterable[SftExample]) -> Iterator[dict[str, Any]]:
    for example in examples:
        check_writable(example, [example.answer])
        row: dict[str, Any] = {"id": example.id, **image_column(example.images)}
        if example.system:
            row["system"] = example.system
        row[CONVERSATIONS] = texts_to_turns([*marked_texts(example), example.answer])
        if example.rating is not None:
            row["rating"] = dict(example.rating)
        yield row


def _conversation(row: dict[str, Any]) -> tuple[tuple[str, ...], Any, list[str]]:
    """Read the images, the system's text and the texts of a row."""
    images = image_names(row)
    system, turns = split_system(row.get(CONVERSATIONS))
    texts = image_to_front(conversation_texts(turns, CONVERSATIONS), images, indices=(0,))
    return images, one_system(row.get("system"), system), texts


def _dialogue(texts: list[str], images: tuple[str, ...], system: Any) -> Dialogue:
    turns = read_messages(turns_to_messages(texts), CONVERSATIONS, "non-empty text")
    return make_dialogue(turns, CONVERSATIONS, images, system)


def _rating(value: Any) -> Rating | None:
    if value is None:
        return None
    rating = {name: whole(number) for name, number in value.items()} if isinstance(value, dict) else {}
    if not rating or any(type(number) is not int for number in rating.values()):
        raise BadRow("field 'rating': wrong type", "allowed: an integer per attribute")
    return rating


PROMPTS = Format(COLUMNS, by_row(_prompt))
EXAMPLES = Format(COLUMNS, by_row(_example))
