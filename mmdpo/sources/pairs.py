"""Preference pairs in their plain form, which most other pair formats are converted to.

A row has `prompt` (or `question`), `chosen` and `rejected`, and optionally `image`, `images`, `system` and `id`.
TRL's conversational forms are read as well: turns `{role, content}`, also where `chosen` and `rejected` hold the whole
conversation, with or without a `prompt` beside them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.row_images import OTHER_MEDIA, check_media, column_images
from mmdpo.sources.rows import fields, optional_id, require_some
from mmdpo.sources.turns import Dialogue, Message, forbid_images, make_dialogue, read_messages

COLUMNS = frozenset({"id", "prompt", "question", "chosen", "rejected", "image", "images", "system", *OTHER_MEDIA})
QUESTION = "non-empty text, or turns {role, content} that end with the user's"
ANSWER = "non-empty text, or one turn {role: assistant, content}"


@dataclass(frozen=True)
class PairRow:
    """A row whose texts are valid; its images are not checked yet.

    Attributes:
        id: The row's id; None if the row has none.
        dialogue: The conversation up to the question.
        chosen: The preferred answer.
        rejected: The other answer.
        unused: Names of fields that are not read.
    """

    id: str | None
    dialogue: Dialogue
    chosen: str
    rejected: str
    unused: frozenset[str] = frozenset()


def parse(row: Any) -> PairRow:
    """Parse a row in the plain form: a line of JSON (bytes) or decoded fields. Raises BadRow."""
    row = fields(row)
    name = "question" if row.get("prompt") is None and row.get("question") is not None else "prompt"
    unused = frozenset(row) - COLUMNS
    pair = parse_pair(row, name)
    return dataclasses.replace(pair, unused=unused) if unused else pair


def parse_pair(row: dict[str, Any], prompt: str, chosen: str = "chosen", rejected: str = "rejected") -> PairRow:
    """Parse decoded fields of which three hold the conversation and its answers.

    Args:
        row: Fields of the row; `id`, `image`, `images` and `system` have the same meaning in all forms.
        prompt: Name of the field of the conversation.
        chosen: Name of the field of the preferred answer, or of the whole conversation with it.
        rejected: Name of the field of the other answer, in the same form.

    Returns:
        The row.

    Raises:
        BadRow: The row cannot be used.
    """
    check_media(row)
    images = column_images(row)
    if not any(isinstance(row.get(name), list) for name in (chosen, rejected)):
        require_some(row.get(prompt), prompt, QUESTION)
    answers = {name: read_messages(row.get(name), name, ANSWER, "assistant") for name in (chosen, rejected)}
    if max(map(len, answers.values())) > 1:
        turns = _shared_turns(row.get(prompt), answers, prompt)
        dialogue = make_dialogue(turns, chosen, images, row.get("system"))
        answers = {name: messages[len(turns) :] for name, messages in answers.items()}
    else:
        turns = read_messages(row.get(prompt), prompt, QUESTION)
        dialogue = make_dialogue(turns, prompt, images, row.get("system"))
    texts = [answer_text(messages, name) for name, messages in answers.items()]
    if texts[0].strip() == texts[1].strip():
        raise BadRow(f"field {rejected!r}: equal to {chosen!r}", "allowed: two different answers")
    return PairRow(optional_id(row.get("id")), dialogue, texts[0], texts[1])


def answer_text(messages: Sequence[Message], name: str) -> str:
    """Return the text of an answer. Raises BadRow if it is not one turn of the assistant, without images."""
    if [message.role for message in messages] != ["assistant"]:
        seen = ", ".join(message.role for message in messages) or "none"
        raise BadRow(f"field {name!r}: wrong turns", f"roles are {seen}; allowed: {ANSWER}")
    forbid_images(messages[0], name)
    return messages[0].text


def _shared_turns(prompt: Any, answers: dict[str, list[Message]], name: str) -> list[Message]:
    """Return the turns with which both conversations begin. Raises BadRow if a prompt beside them is another."""
    first, second = answers.values()
    shared = 0
    while shared < min(len(first), len(second)) - 1 and first[shared] == second[shared]:
        shared += 1
    turns = first[:shared]
    if prompt is None:
        return turns
    given = read_messages(prompt, name, QUESTION)
    if isinstance(prompt, str):
        same = any(turn.role == "user" and turn.text.strip() == given[0].text.strip() for turn in turns)
    else:
        same = [(turn.role, turn.text) for turn in given] == [(turn.role, turn.text) for turn in turns]
    if not same:
        detail = "allowed: the turns that 'chosen' and 'rejected' begin with, or answers without these turns"
        raise BadRow(f"field {name!r}: not in the other fields", detail)
    return turns


PAIRS = Format(COLUMNS, by_row(lambda row: row), report_unused=True)
