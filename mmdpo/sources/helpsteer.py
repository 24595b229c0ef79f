"""Pairs of HelpSteer (Wang et al., 2023): several answers to a prompt, each rated by people from 0 to 4.

The best answer is chosen over one that is clearly worse, by the rule of the paper (3.2): helpfulness +
correctness + coherence.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmdpo.files import fingerprint
from mmdpo.sources.rows import TEXT, BadRow, Unfit, fields, text

MERITS = ("helpfulness", "correctness", "coherence")
COLUMNS = frozenset({"prompt", "response", *MERITS, "complexity", "verbosity"})
MARGIN = 2
HIGHEST = 4


@dataclass(frozen=True)
class _Answer:
    number: int
    prompt: str
    response: str
    merit: int


def converted(rows: Iterator[tuple[int, Any]], seed: int = 0, margin: int = MARGIN) -> Iterator[tuple[int, Any]]:
    """One plain pair for rows of equal prompt that follow each other, numbered as its first row.

    Where no answer is at least `margin` below the best, an Unfit ("too close") stands in its place. Which
    of several worse ones is rejected depends on the seed and the prompt alone.
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


def _pair(answers: list[_Answer], seed: int, margin: int) -> tuple[int, Any]:
    number, prompt = answers[0].number, answers[0].prompt
    best = max(answers, key=lambda answer: answer.merit)
    worse = [answer for answer in answers if answer.merit <= best.merit - margin]
    if not worse:
        merits = ", ".join(str(answer.merit) for answer in answers)
        return number, Unfit("too close", f"the answers have {merits}; allowed: one {margin} below the best")
    rejected = random.Random(fingerprint([seed, prompt])).choice(worse)
    return number, {"prompt": prompt, "chosen": best.response, "rejected": rejected.response}


def _answer(number: int, row: Any) -> _Answer:
    row = fields(row)
    for name in (*MERITS, "complexity", "verbosity"):
        value = row.get(name)
        if type(value) is not int or not 0 <= value <= HIGHEST:
            raise BadRow(f"field {name!r}: not a rating", f"it is {value!r}; allowed: 0..{HIGHEST}")
    return _Answer(
        number,
        text(row.get("prompt"), "prompt", TEXT),
        text(row.get("response"), "response", TEXT),
        sum(row[name] for name in MERITS),
    )
