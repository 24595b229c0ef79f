"""Formats whose rows hold a prompt and several rated answers: `{PROMPT, completions: [{response, ...}, ...]}`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mmdpo.sources.bad_rows import BadRow, SkippedRow
from mmdpo.sources.formats import Format, NumberedRows
from mmdpo.sources.pairs import PairRow, parse_pair
from mmdpo.sources.rated_answers import best_and_worse
from mmdpo.sources.rows import fields, json_type, require_text

COMPLETIONS = "completions"

Score = Callable[[dict[str, Any]], float | None]


def rated_format(columns: frozenset[str], prompt: str, score: Score) -> Format[PairRow]:
    """Build a format that makes one pair of the rated answers of a row.

    Args:
        columns: Fields that the format reads.
        prompt: Name of the field of the question.
        score: Function of one completion that returns its score; None leaves it out.

    Returns:
        The format.
    """

    def convert(rows: NumberedRows, seed: int) -> Iterator[tuple[int, PairRow | BadRow]]:
        for number, row in rows:
            try:
                yield number, _pair(fields(row), prompt, score, seed)
            except BadRow as error:
                yield number, error

    return Format(columns, convert)


def _pair(row: dict[str, Any], prompt: str, score: Score, seed: int) -> PairRow:
    question = require_text(row.get(prompt), prompt)
    rated = []
    for completion in _completions(row.get(COMPLETIONS)):
        value = score(completion)
        if value is not None:
            rated.append((require_text(completion.get("response"), "response"), value))
    if len(rated) < 2:
        raise SkippedRow("fewer than two rated answers", f"there are {len(rated)}; allowed: two or more")
    chosen, rejected = best_and_worse(question, rated, seed)
    return parse_pair({**row, "chosen": chosen, "rejected": rejected}, prompt)


def _completions(value: Any) -> list[dict[str, Any]]:
    """Return the completions as objects; some versions of Hugging Face data sets have an object of lists."""
    columns = list(value.values()) if isinstance(value, dict) else []
    if columns and all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        value = [dict(zip(value, items, strict=True)) for items in zip(*columns, strict=True)]
    if not isinstance(value, list) or not all(isinstance(completion, dict) for completion in value):
        reason = "missing" if value is None else "wrong type"
        raise BadRow(
            f"field {COMPLETIONS!r}: {reason}", f"it is {json_type(value)}; allowed: a list of {{response, ...}}"
        )
    return value
