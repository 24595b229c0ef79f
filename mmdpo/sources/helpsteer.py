"""Preference pairs of HelpSteer (Wang et al., 2023): several answers per prompt, rated by people from 0 to 4.

The best answer is chosen and a clearly worse one is rejected, by the paper's rule (3.2): helpfulness + correctness
+ coherence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmdpo.sources.bad_rows import BadRow, SkippedRow
from mmdpo.sources.formats import Format, NumberedRows
from mmdpo.sources.rated_answers import best_and_worse
from mmdpo.sources.rows import fields, read_number, require_text

SCORED = ("helpfulness", "correctness", "coherence")
"""Ratings that are added up to an answer's score, 0..12."""
RATINGS = (*SCORED, "complexity", "verbosity")
MARGIN = 2
"""Smallest difference of scores between chosen and rejected (paper, 3.2)."""
MAX_RATING = 4


@dataclass(frozen=True)
class _Answer:
    number: int
    prompt: str
    response: str
    score: int


def convert(rows: NumberedRows, seed: int = 0, margin: int = MARGIN) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """Make one pair of consecutive rows with the same prompt, numbered as the first of these rows.

    Args:
        rows: Numbered raw rows.
        seed: Seed of the choice among several worse answers; the choice depends on seed and prompt alone.
        margin: Smallest difference of scores between chosen and rejected.

    Yields:
        Numbered plain rows; a SkippedRow ("too close") if no answer is `margin` below the best; a BadRow for each
        row that cannot be used.
    """
    answers: list[_Answer] = []
    for number, row in rows:
        try:
            answer = _answer(number, row)
        except BadRow as error:
            yield number, error
            continue
        if answers and answers[0].prompt != answer.prompt:
            yield _pair(answers, seed, margin)
            answers = []
        answers.append(answer)
    if answers:
        yield _pair(answers, seed, margin)


def _pair(answers: list[_Answer], seed: int, margin: int) -> tuple[int, dict[str, Any] | BadRow]:
    number, prompt = answers[0].number, answers[0].prompt
    try:
        scored = [(answer.response, answer.score) for answer in answers]
        chosen, rejected = best_and_worse(prompt, scored, seed, margin)
    except SkippedRow as error:
        return number, error
    return number, {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _answer(number: int, row: Any) -> _Answer:
    row = fields(row)
    ratings = {name: _rating(row.get(name), name) for name in RATINGS}
    return _Answer(
        number,
        require_text(row.get("prompt"), "prompt"),
        require_text(row.get("response"), "response"),
        sum(ratings[name] for name in SCORED),
    )


def _rating(value: Any, name: str) -> int:
    """Return a rating, which some versions of the data set write as 3.0."""
    number = read_number(value)
    if number is None or not float(number).is_integer() or not 0 <= number <= MAX_RATING:
        raise BadRow(f"field {name!r}: not a rating", f"it is {value!r}; allowed: 0..{MAX_RATING}")
    return int(number)


PAIRS = Format(frozenset({"prompt", "response", *RATINGS}), convert)
