"""Preference pairs of the paper's authors (Li et al., 2024), in the format of their DPO training.

Rows are `{image, question, chosen, rejected}`; the last three are turns `{from, value}`. The keys `id`, `history`
(earlier turns) and `system`, and a list of several images, are additions of mmdpo. Log-probabilities of a reference
model are ignored.
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
    check_writable,
    conversation_texts,
    image_column,
    image_to_front,
    marked_texts,
    texts_to_turns,
    turn_text,
    turns_to_messages,
)
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.markers import join_markers
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.row_images import column_images


def write(pairs: Iterable[PreferencePair], path: Path) -> int:
    """Write pairs in this format (.json or .jsonl) and return their number."""
    return tables.write_rows(path, map(_row, pairs))


def _pair(row: dict[str, Any]) -> PairRow:
    images = column_images(row)
    history = conversation_texts(row["history"], "history") if row.get("history") else []
    if len(history) % 2:
        raise BadRow("field 'history': wrong turns", "the last is the human's; allowed: gpt's last")
    texts = [*history, turn_text(row.get("question"), "question")]
    texts = image_to_front(texts, images, indices=(0, len(texts) - 1))
    answers = {name: turn_text(row.get(name), name) for name in ("chosen", "rejected")}
    kept = {"id": row.get("id"), "images": images, "system": row.get("system")}
    return parse_pair({**kept, "question": turns_to_messages(texts), **answers}, "question")


def _row(pair: PreferencePair) -> dict[str, Any]:
    check_writable(pair, [pair.chosen, pair.rejected])
    if len(pair.images) <= 1 and not pair.image_positions:  # other readers of this format look at the question only
        earlier = [text for turn in pair.history for text in (turn.question, turn.answer)]
        (question,) = join_markers([pair.question], len(pair.images), ())
    else:
        *earlier, question = marked_texts(pair)
    row: dict[str, Any] = {"id": pair.id, **image_column(pair.images)}
    if pair.system:
        row["system"] = pair.system
    if earlier:
        row["history"] = texts_to_turns(earlier)
    human, model = SPEAKERS
    return row | {
        "question": {"from": human, "value": question},
        "chosen": {"from": model, "value": pair.chosen},
        "rejected": {"from": model, "value": pair.rejected},
    }


COLUMNS = frozenset({"id", "image", "question", "history", "chosen", "rejected", "system"})
PAIRS = Format(COLUMNS, by_row(_pair))
