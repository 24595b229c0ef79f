"""Preference pairs of the paper's authors (Li et al., 2024), in the format of their DPO training.

Rows are `{image, question, chosen, rejected}`; the last three are turns `{from, value}`. The keys `id` and
`history` (earlier turns) are additions of mmdpo. Log-probabilities of a reference model are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdpo.records import PreferencePair
from mmdpo.sources import tables
from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.conversations import (
    SPEAKERS,
    add_marker,
    check_writable,
    conversation_texts,
    history_to_turns,
    image_name,
    remove_markers,
    turn_text,
    turns_to_messages,
)
from mmdpo.sources.formats import Format, by_row


def write(pairs: Iterable[PreferencePair], path: Path) -> int:
    """Write pairs in this format (.json or .jsonl) and return their number."""
    return tables.write_rows(path, map(_row, pairs))


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    image = image_name(row)
    history = conversation_texts(row["history"], "history") if row.get("history") else []
    if len(history) % 2:
        raise BadRow("field 'history': wrong turns", "the last is the human's; allowed: gpt's last")
    texts = [*history, turn_text(row.get("question"), "question")]
    texts = remove_markers(texts, "question", image, indices=(0, len(texts) - 1))
    answers = {name: turn_text(row.get(name), name) for name in ("chosen", "rejected")}
    return {"id": row.get("id"), "image": image, "prompt": turns_to_messages(texts), **answers}


def _row(pair: PreferencePair) -> dict[str, Any]:
    human, model = SPEAKERS
    history = history_to_turns(pair.history)
    check_writable(pair.id, [pair.question, pair.chosen, pair.rejected, *(turn["value"] for turn in history)])
    row: dict[str, Any] = {"id": pair.id}
    if pair.images:
        row["image"] = pair.images[0]
    if history:
        row["history"] = history
    return row | {
        "question": {"from": human, "value": add_marker(pair.question, pair.images)},
        "chosen": {"from": model, "value": pair.chosen},
        "rejected": {"from": model, "value": pair.rejected},
    }


PAIRS = Format(frozenset({"id", "image", "question", "history", "chosen", "rejected"}), by_row(_plain_row))
