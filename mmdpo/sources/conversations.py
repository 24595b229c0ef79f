"""LLaVA's conversations: turns {from: human|gpt, value}, and the marker where the image stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from mmdpo.errors import UserError
from mmdpo.records import Turn
from mmdpo.sources.rows import TEXT, BadRow, kind, text

MARKER = "<image>"
SPEAKERS = ("human", "gpt")
TURNS = "turns {from: human|gpt, value}, human and gpt in turn"


def turns(value: Any, name: str) -> list[str]:
    """The texts of a conversation, the human's first; they may be empty.

    What the model says before the human's first turn is left out, as LLaVA's training does.
    """
    if not isinstance(value, list):
        reason = "missing" if value is None else "wrong type"
        raise BadRow(f"field {name!r}: {reason}", f"it is {kind(value)}; allowed: {TURNS}")
    said = [_turn(turn, name) for turn in value]
    while said and said[0][0] == "gpt":
        said.pop(0)
    if not said or any(speaker != SPEAKERS[index % 2] for index, (speaker, _) in enumerate(said)):
        seen = ", ".join(speaker for speaker, _ in said) or "none of the human's"
        raise BadRow(f"field {name!r}: wrong turns", f"turns are {seen}; allowed: {TURNS}")
    return [words for _, words in said]


def spoken(turn: Any, name: str) -> str:
    """The text of one turn that stands alone, whoever speaks: an answer or a question."""
    if isinstance(turn, str) or turn is None:
        return text(turn, name, TEXT)
    if not isinstance(turn, dict):
        raise BadRow(f"field {name!r}: wrong type", f"it is {kind(turn)}; allowed: {{from, value}}")
    return text(turn.get("value"), name, TEXT)


def unmarked(texts: list[str], name: str, image: Any, places: Collection[int]) -> list[str]:
    """The texts without the image's marker, which may stand once, in one of `places`."""
    marked = [index for index, words in enumerate(texts) for _ in range(words.count(MARKER))]
    if len(marked) > 1:
        raise BadRow(f"field {name!r}: {len(marked)} image markers", "allowed: one image a row")
    if marked and image is None:
        raise BadRow(f"field {name!r}: image marker without image", f"allowed: {MARKER} where `image` is")
    if marked and marked[0] not in places:
        raise BadRow(f"field {name!r}: misplaced image marker", f"allowed: {MARKER} where the talk begins")
    return [without(words) if index in marked else words for index, words in enumerate(texts)]


def without(words: str) -> str:
    """The text without its marker; spaces that belong to the text stay where the marker has a line."""
    if words.startswith(MARKER + "\n"):
        return words.removeprefix(MARKER + "\n")
    if words.endswith("\n" + MARKER):
        return words.removesuffix("\n" + MARKER)
    return words.replace(MARKER, "").strip()


def marked(words: str, image: str | None) -> str:
    """A question as LLaVA writes it: an image stands before it."""
    return words if image is None else f"{MARKER}\n{words}"


def writable(id: str, texts: Iterable[str]) -> None:
    """Raise UserError where a text holds the marker itself: who reads it would look for an image."""
    if any(MARKER in words for words in texts):
        raise UserError(f"{id!r}: its text holds {MARKER}, which marks images there; allowed: other text")


def image_name(row: dict[str, Any]) -> str | None:
    """The row's one image, if it has any."""
    value = row.get("image")
    if isinstance(value, list):
        if len(value) > 1:
            raise BadRow(f"field 'image': {len(value)} images", "allowed: one image a row")
        value = value[0] if value else None
    return None if value is None else text(value, "image", "the name of a file under the image root")


def plain(texts: list[str]) -> list[dict[str, str]]:
    """Turns as `rows.parse` reads them."""
    return [{"role": ("user", "assistant")[index % 2], "content": words} for index, words in enumerate(texts)]


def exchanges(texts: list[str]) -> tuple[Turn, ...]:
    """Earlier turns, human's and model's, as a record's history."""
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return tuple(Turn(question, answer) for question, answer in pairs)


def told(history: Iterable[Turn]) -> list[dict[str, str]]:
    """A record's history as turns."""
    return [
        {"from": speaker, "value": words}
        for exchange in history
        for speaker, words in zip(SPEAKERS, (exchange.question, exchange.answer), strict=True)
    ]


def _turn(turn: Any, name: str) -> tuple[str, str]:
    if not isinstance(turn, dict) or turn.get("from") not in SPEAKERS:
        seen = f"from {turn.get('from')!r}" if isinstance(turn, dict) else kind(turn)
        raise BadRow(f"field {name!r}: wrong turns", f"a turn is {seen}; allowed: {TURNS}")
    if not isinstance(turn.get("value"), str):
        raise BadRow(f"field {name!r}: wrong type", f"a turn's value is {kind(turn.get('value'))}; {TURNS}")
    return turn["from"], turn["value"]
