"""The preference pairs of the paper's authors (Li et al., 2024), as their DPO training reads them.

Rows are `{image, question, chosen, rejected}`, the last three turns `{from, value}`. The keys `id` and
`history` (earlier turns) are ours; log-probabilities of a reference model are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmdpo.records import PreferencePair
from mmdpo.sources import tables
from mmdpo.sources.conversations import (
    SPEAKERS,
    image_name,
    marked,
    plain,
    spoken,
    told,
    turns,
    unmarked,
    writable,
)
from mmdpo.sources.rows import BadRow
from mmdpo.sources.rows import converted as each

COLUMNS = frozenset({"id", "image", "question", "history", "chosen", "rejected"})


def converted(rows: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Rows of the authors' form as plain pairs, a BadRow in place of a wrong one."""
    return each(rows, _plain)


def write(pairs: Iterable[PreferencePair], path: Path) -> int:
    """Write pairs in the authors' form (.json or .jsonl); returns how many."""
    return tables.write(path, map(_row, pairs))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    image = image_name(row)
    history = turns(row["history"], "history") if row.get("history") else []
    if len(history) % 2:
        raise BadRow("field 'history': wrong turns", "the last is the human's; allowed: gpt's last")
    asked = [*history, spoken(row.get("question"), "question")]
    asked = unmarked(asked, "question", image, places=(0, len(asked) - 1))
    answers = {name: spoken(row.get(name), name) for name in ("chosen", "rejected")}
    return {"id": row.get("id"), "image": image, "prompt": plain(asked), **answers}


def _row(pair: PreferencePair) -> dict[str, Any]:
    human, model = SPEAKERS
    history = told(pair.history)
    writable(pair.id, [pair.question, pair.chosen, pair.rejected, *(turn["value"] for turn in history)])
    row: dict[str, Any] = {"id": pair.id}
    if pair.image is not None:
        row["image"] = pair.image
    if history:
        row["history"] = history
    return row | {
        "question": {"from": human, "value": marked(pair.question, pair.image)},
        "chosen": {"from": model, "value": pair.chosen},
        "rejected": {"from": model, "value": pair.rejected},
    }
