"""Preference pairs in their plain form, which every other pair format is converted to.

A row has `prompt` (or `question`), `chosen` and `rejected`, and optionally `image` and `id`. TRL's conversational
form is read as well: lists of `{role, content}`, and `images` with one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmdpo.records import Turn
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.rows import fields, json_type, optional_id, require_text

COLUMNS = frozenset({"id", "prompt", "question", "chosen", "rejected", "image", "images"})
QUESTION = "non-empty text, or turns {role, content} that end with the user's"
ANSWER = "non-empty text, or one turn {role: assistant, content}"


@dataclass(frozen=True)
class PairRow:
    """A row whose texts are valid; its image is not checked yet.

    Attributes:
        id: The row's id; None if the row has none.
        question: The user's last turn.
        history: Earlier turns.
        chosen: The preferred answer.
        rejected: The other answer.
        images: File names below `data.image_root`, or the bytes of image files.
        unused: Names of fields that are not read.
    """

    id: str | None
    question: str
    history: tuple[Turn, ...]
    chosen: str
    rejected: str
    images: tuple[str | bytes, ...]
    unused: frozenset[str]


def parse(row: Any) -> PairRow:
    """Parse a row in the plain form: a line of JSON (bytes) or decoded fields. Raises BadRow."""
    row = fields(row)
    name = "question" if row.get("prompt") is None and row.get("question") is not None else "prompt"
    question, history = _question(row.get(name), name)
    chosen, rejected = (_answer(row.get(name), name) for name in ("chosen", "rejected"))
    if chosen.strip() == rejected.strip():
        raise BadRow("field 'rejected': equal to 'chosen'", "allowed: two different answers")
    unused = frozenset(row) - COLUMNS
    image = _image(row)
    images = () if image is None else (image,)
    return PairRow(optional_id(row.get("id")), question, history, chosen, rejected, images, unused)


def _question(value: Any, name: str) -> tuple[str, tuple[Turn, ...]]:
    if not isinstance(value, list):
        return require_text(value, name, QUESTION), ()
    turns = [_turn(turn, name, QUESTION) for turn in value]
    roles = [role for role, _ in turns]
    if roles != [("user", "assistant")[index % 2] for index in range(len(roles))] or len(roles) % 2 == 0:
        raise BadRow(
            f"field {name!r}: wrong turns",
            f"roles are {', '.join(roles) or 'none'}; allowed: user and assistant in turn, the user last",
        )
    texts = [text for _, text in turns]
    earlier = zip(texts[:-1:2], texts[1::2], strict=True)
    return texts[-1], tuple(Turn(question, answer) for question, answer in earlier)


def _answer(value: Any, name: str) -> str:
    if not isinstance(value, list):
        return require_text(value, name, ANSWER)
    turns = [_turn(turn, name, ANSWER) for turn in value]
    if [role for role, _ in turns] != ["assistant"]:
        seen = ", ".join(role for role, _ in turns) or "none"
        raise BadRow(f"field {name!r}: wrong turns", f"roles are {seen}; allowed: {ANSWER}")
    return turns[0][1]


def _turn(turn: Any, name: str, allowed: str) -> tuple[str, str]:
    if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
        raise BadRow(f"field {name!r}: wrong type", f"a turn is {json_type(turn)}; allowed: {allowed}")
    content = turn.get("content")
    if isinstance(content, list):  # TRL's vision form: parts of text, and the position of the image
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "\n".join(str(part.get("text") or "") for part in parts)
    return turn["role"], require_text(content, name, allowed)


def _image(row: dict[str, Any]) -> str | bytes | None:
    value, name = row.get("image"), "image"
    if value is None and row.get("images") is not None:
        value, name = row["images"], "images"
    if isinstance(value, list):
        if len(value) > 1:
            raise BadRow(f"field {name!r}: {len(value)} images", "allowed: one image per row")
        value = value[0] if value else None
    if isinstance(value, dict):  # an image of a Hugging Face data set
        value = value.get("bytes") or value.get("path")
        if value is None:
            raise BadRow(f"field {name!r}: missing", "allowed: an image with bytes or a path")
    if value is None or (isinstance(value, bytes) and value):
        return value
    return require_text(value, name, "the name of a file under data.image_root")


PAIRS = Format(COLUMNS, by_row(lambda row: row), report_unused=True)
