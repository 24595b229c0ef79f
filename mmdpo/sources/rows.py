"""One row of the user's pairs: which fields it must have, and what is said where they are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mmdpo.errors import UserError
from mmdpo.images import NoImage
from mmdpo.records import Turn

FIELDS = frozenset({"id", "prompt", "question", "chosen", "rejected", "image", "images"})
TEXT = "non-empty text"
TURNS = "non-empty text, or turns {role, content} that end with the user's"
ANSWER = "non-empty text, or one turn {role: assistant, content}"


class BadRow(ValueError):
    """A wrong row; rows are counted by `reason`, `detail` is what this one holds or may hold."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}; {detail}")
        self.reason = reason
        self.detail = detail


class BadImage(BadRow):
    """A row whose image is absent or of no use; what the error says is the detail."""

    def __init__(self, error: UserError) -> None:
        state = "no such file" if isinstance(error, NoImage) else "not usable"
        super().__init__(f"field 'image': {state}", str(error))


class Unfit(BadRow):
    """A right row that is of no use here: counted like a wrong one, but never an error."""


@dataclass(frozen=True)
class Row:
    """A row whose texts are right. `image` is a name or an image file's bytes, `id` may be absent.

    `unused` are the names of columns that mean nothing here.
    """

    id: str | None
    question: str
    history: tuple[Turn, ...]
    chosen: str
    rejected: str
    image: str | bytes | None
    unused: frozenset[str]


def fields(row: Any) -> dict[str, Any]:
    """The fields of a line of JSON (bytes), or of what is decoded already; raises BadRow."""
    if isinstance(row, bytes):
        try:
            row = json.loads(row.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadRow("not UTF-8", str(error)) from error
        except (ValueError, RecursionError) as error:
            raise BadRow("not JSON", f"{error}; allowed: one object a line") from error
    if not isinstance(row, dict):
        raise BadRow("not an object", f"it is {kind(row)}; allowed: an object with named fields")
    return row


def converted(
    rows: Iterator[tuple[int, Any]], convert: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[tuple[int, Any]]:
    """Each row in another form, or in its place the BadRow that says why there is none."""
    for number, row in rows:
        try:
            yield number, convert(fields(row))
        except BadRow as error:
            yield number, error


def parse(row: Any) -> Row:
    """The row of a line of JSON (bytes) or of decoded fields; raises BadRow."""
    row = fields(row)
    asked = "question" if row.get("prompt") is None and row.get("question") is not None else "prompt"
    question, history = _prompt(row.get(asked), asked)
    chosen, rejected = (_answer(row.get(name), name) for name in ("chosen", "rejected"))
    if chosen.strip() == rejected.strip():
        raise BadRow("field 'rejected': equal to 'chosen'", "allowed: two different answers")
    unused = frozenset(row) - FIELDS
    return Row(identifier(row.get("id")), question, history, chosen, rejected, _image(row), unused)


def named(row: dict[str, Any]) -> str:
    """The id of a row that must have one."""
    if (value := identifier(row.get("id"))) is None:
        raise BadRow("field 'id': missing", "allowed: text or an integer")
    return value


def identifier(value: Any) -> str | None:
    """An id as text, or None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadRow("field 'id': wrong type", f"it is {kind(value)}; allowed: text or an integer")
    return text(str(value), "id", TEXT)


def _prompt(value: Any, name: str) -> tuple[str, tuple[Turn, ...]]:
    if not isinstance(value, list):
        return text(value, name, TURNS), ()
    turns = [_turn(turn, name, TURNS) for turn in value]
    roles = [role for role, _ in turns]
    if roles != [("user", "assistant")[index % 2] for index in range(len(roles))] or len(roles) % 2 == 0:
        raise BadRow(
            f"field {name!r}: wrong turns",
            f"roles are {', '.join(roles) or 'none'}; allowed: user and assistant in turn, the user last",
        )
    texts = [text for _, text in turns]
    pairs = zip(texts[:-1:2], texts[1::2], strict=True)
    return texts[-1], tuple(Turn(question, answer) for question, answer in pairs)


def _answer(value: Any, name: str) -> str:
    if not isinstance(value, list):
        return text(value, name, ANSWER)
    turns = [_turn(turn, name, ANSWER) for turn in value]
    if [role for role, _ in turns] != ["assistant"]:
        seen = ", ".join(role for role, _ in turns) or "none"
        raise BadRow(f"field {name!r}: wrong turns", f"roles are {seen}; allowed: {ANSWER}")
    return turns[0][1]


def _turn(turn: Any, name: str, allowed: str) -> tuple[str, str]:
    if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
        raise BadRow(f"field {name!r}: wrong type", f"a turn is {kind(turn)}; allowed: {allowed}")
    content = turn.get("content")
    if isinstance(content, list):  # TRL's vision form: parts of text, and where the image stands
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "\n".join(str(part.get("text") or "") for part in parts)
    return turn["role"], text(content, name, allowed)


def text(value: Any, name: str, allowed: str) -> str:
    """The value where it is text that can be used; `name` is its field."""
    if value is None:
        raise BadRow(f"field {name!r}: missing", f"allowed: {allowed}")
    if not isinstance(value, str):
        raise BadRow(f"field {name!r}: wrong type", f"it is {kind(value)}; allowed: {allowed}")
    if not value.strip():
        raise BadRow(f"field {name!r}: empty", f"allowed: {allowed}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON lets through
        raise BadRow(f"field {name!r}: not Unicode", str(error)) from error
    return value


def _image(row: dict[str, Any]) -> str | bytes | None:
    value, name = row.get("image"), "image"
    if value is None and row.get("images") is not None:
        value, name = row["images"], "images"
    if isinstance(value, list):
        if len(value) > 1:
            raise BadRow(f"field {name!r}: {len(value)} images", "allowed: one image a row")
        value = value[0] if value else None
    if isinstance(value, dict):  # an image of a Hugging Face data set
        value = value.get("bytes") or value.get("path")
        if value is None:
            raise BadRow(f"field {name!r}: missing", "allowed: an image with bytes or a path")
    if value is None or (isinstance(value, bytes) and value):
        return value
    return text(value, name, "the name of a file under data.image_root")


def kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
