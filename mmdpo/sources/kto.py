"""Preference pairs of KTO's rows `{prompt, completion, label}`: a completion with label true, and one with false.

Rows of one prompt need not stand together. The first completion with label true is paired with the first with label
false, and so on; completions without a partner are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdpo.sources.bad_rows import BadRow, SkippedRow
from mmdpo.sources.formats import Format, NumberedRows
from mmdpo.sources.pairs import ANSWER, QUESTION, PairRow, answer_text
from mmdpo.sources.row_images import OTHER_MEDIA, check_media, column_images
from mmdpo.sources.rows import fields
from mmdpo.sources.turns import Dialogue, make_dialogue, read_messages

LABELS = {1: True, 0: False, "true": True, "false": False, "1": True, "0": False}
COLUMNS = frozenset({"prompt", "completion", "messages", "label", "image", "images", "system", *OTHER_MEDIA})


def convert(rows: NumberedRows, seed: int) -> Iterator[tuple[int, PairRow | BadRow]]:
    """Pair the completions of equal prompts, numbered as the row with label true."""
    found: dict[Dialogue, dict[bool, list[tuple[int, str]]]] = {}
    for number, row in rows:
        try:
            dialogue, completion, label = labelled(fields(row))
        except BadRow as error:
            yield number, error
            continue
        found.setdefault(dialogue, {True: [], False: []})[label].append((number, completion))
    for dialogue, answers in found.items():
        pairs = min(len(answers[True]), len(answers[False]))
        for (number, chosen), (_, rejected) in zip(answers[True][:pairs], answers[False][:pairs], strict=True):
            if chosen.strip() == rejected.strip():
                yield number, BadRow("field 'completion': has both labels", "allowed: two different answers")
            else:
                yield number, PairRow(None, dialogue, chosen, rejected)
        for label in (True, False):
            detail = f"label {'false' if label else 'true'} is missing for its prompt; allowed: rows with both labels"
            for number, _ in answers[label][pairs:]:
                yield number, SkippedRow("completion without a partner", detail)


def labelled(row: dict[str, Any]) -> tuple[Dialogue, str, bool]:
    """Return the conversation of a row, its completion and its label. Raises BadRow."""
    check_media(row)
    label = row.get("label")
    label = label.lower() if isinstance(label, str) else label
    if not isinstance(label, bool | int | float | str) or label not in LABELS:
        reason = "missing" if label is None else "not true or false"
        raise BadRow(f"field 'label': {reason}", f"it is {label!r}; allowed: true, false")
    if row.get("messages") is not None:  # ms-swift's form: the completion is the last turn
        name = "messages"
        messages = read_messages(row[name], name, QUESTION)
        turns, answer = messages[:-1], answer_text(messages[-1:], name)
    else:
        name = "prompt"
        turns = read_messages(row.get(name), name, QUESTION)
        answer = answer_text(read_messages(row.get("completion"), "completion", ANSWER, "assistant"), "completion")
    return make_dialogue(turns, name, column_images(row), row.get("system")), answer, LABELS[label]


PAIRS = Format(COLUMNS, convert)
