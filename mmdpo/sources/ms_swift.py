"""Preference pairs of ms-swift: `{messages, rejected_response}`; the last turn of `messages` is the chosen answer.

`rejected_messages`, the whole conversation with the other answer, is read in place of `rejected_response`. Files of
earlier versions have `{query, response, history, rejected_response}`.
"""

from __future__ import annotations

from typing import Any

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.conversations import history_texts, turns_to_messages
from mmdpo.sources.formats import Format, by_row
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.row_images import OTHER_MEDIA
from mmdpo.sources.rows import json_type

MESSAGES, RESPONSE, OTHER_MESSAGES = "messages", "rejected_response", "rejected_messages"
QUERY = "query"


def _pair(row: dict[str, Any]) -> PairRow:
    if row.get("rejected_images"):
        raise BadRow("field 'rejected_images': not supported", "allowed: the same images for both answers")
    messages = row.get(MESSAGES)
    if messages is None and row.get(QUERY) is not None:
        turns = turns_to_messages([*history_texts(row.get("history")), row[QUERY]])
        return parse_pair({**row, QUERY: turns}, QUERY, "response", RESPONSE)
    if row.get(OTHER_MESSAGES) is not None:
        return parse_pair(row, "prompt", MESSAGES, OTHER_MESSAGES)
    if not isinstance(messages, list) or len(messages) < 2:
        reason = "missing" if messages is None else "wrong turns" if isinstance(messages, list) else "wrong type"
        detail = f"it is {json_type(messages)}; allowed: turns {{role, content}}, the last the chosen answer"
        raise BadRow(f"field {MESSAGES!r}: {reason}", detail)
    return parse_pair({**row, "prompt": messages[:-1], MESSAGES: messages[-1:]}, "prompt", MESSAGES, RESPONSE)


COLUMNS = frozenset({"id", MESSAGES, RESPONSE, OTHER_MESSAGES, "image", "images", "rejected_images", "system"})
PAIRS = Format(COLUMNS | {QUERY, "response", "history", *OTHER_MEDIA}, by_row(_pair))
