"""Replies of the rehearsal servers as judges of benchmarks, in a valid form or in a scripted faulty one.

A judge is recognised by the shape of what it is asked, wherever the mark stands in the texts of system and user:

| judge | mark |
|---|---|
| MM-Vet | the text ends with a column that is to be filled in, ` | `, with at most a reminder on the line below |
| AlpacaEval | `'model'` and `'rank'`, in quotation marks of either kind |
| LLaVA-Bench | a line `[System]` |
| MT-Bench | one word or number in double brackets, such as `[[rating]]` |
| MMHal | `Rating:` |

Numbers depend on the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

OPEN_COLUMN = re.compile(r" \| (\n[^\n]*)?\Z")
IN_BRACKETS = re.compile(r"\[\[[\w.]+\]\]")


@dataclass(frozen=True)
class JudgeStyle:
    """The replies of a benchmark's judge.

    Attributes:
        asked: Return whether the text of a request is meant for this judge.
        good: Make a reply from the random numbers of a text.
        faulty: Make the replies of the forms in `mmdpo.testing.replies.FORMS`; others are as `good` makes them.
        readable: Forms of faulty replies that hold a grade nevertheless.
    """

    asked: Callable[[str], bool]
    good: Callable[[Random], str]
    faulty: Mapping[str, Callable[[Random], str]] = field(default_factory=dict)
    readable: tuple[str, ...] = ()

    def reply(self, text: str, form: str | None = None) -> str:
        """Return the reply to a request.

        Args:
            text: The text of the request.
            form: One of FORMS for a faulty reply.
        """
        if form == "empty":
            return ""
        return self.faulty.get(form or "", self.good)(Random(text))


def style_of(text: str) -> JudgeStyle | None:
    """Return the style of the judge that a request asks; None for any other request."""
    return next((style for style in STYLES.values() if style.asked(text)), None)


def _quoted(word: str, text: str) -> bool:
    return f"'{word}'" in text or f'"{word}"' in text


def _half_points(rng: Random) -> str:
    """Return a score from 1 to 10, now and then with a half point."""
    return f"{rng.randint(2, 20) / 2:g}" if rng.random() < 0.2 else str(rng.randint(1, 10))


def _prose(rng: Random) -> str:
    return rng.choice(["The answer is helpful and mostly right.", "Both are good, and one is a little better."])


def _mt_bench(rng: Random) -> str:
    return f"The answer is clear and fits the question.\n\nRating: [[{_half_points(rng)}]]"


def _llava_bench(rng: Random) -> str:
    scores = f"{_half_points(rng)} {_half_points(rng)}"
    return f"{scores}\nThe first is complete, and the second leaves out a detail of the scene."


def _ranks(rng: Random) -> str:
    first = rng.randint(1, 2)
    return str([{"model": "model_1", "rank": first}, {"model": "model_2", "rank": 3 - first}])


def _mmhal(rng: Random) -> str:
    return f"The response names what is in the image.\nRating: {rng.randint(0, 6)}"


def _fixed(text: str) -> Callable[[Random], str]:
    return lambda rng: text


def _fenced(good: Callable[[Random], str]) -> Callable[[Random], str]:
    return lambda rng: f"```\n{good(rng)}\n```"


STYLES = {
    "mm_vet": JudgeStyle(
        lambda text: OPEN_COLUMN.search(text) is not None,
        lambda rng: f"{rng.randint(0, 10) / 10:.1f}",
        {
            "truncated": _fixed("The"),
            "fenced": _fixed("```"),
            "prose": _prose,
            "wrong_count": _fixed("0.5|0.5"),
            "out_of_range": _fixed("7.0"),
        },
    ),
    "alpaca_eval": JudgeStyle(
        lambda text: _quoted("model", text) and _quoted("rank", text),
        _ranks,
        {
            "truncated": lambda rng: _ranks(rng)[:30],
            "fenced": _fenced(_ranks),
            "prose": _prose,
            "wrong_count": _fixed("[{'model': 'model_2', 'rank': 1}]"),
            "out_of_range": _fixed("[{'model': 'model_1', 'rank': 3}, {'model': 'model_2', 'rank': 3}]"),
        },
        readable=("fenced",),
    ),
    "llava_bench": JudgeStyle(
        lambda text: "\n[System]\n" in text,
        _llava_bench,
        {
            "truncated": _fixed("8"),
            "fenced": _fenced(_llava_bench),
            "prose": _prose,
            "wrong_count": _fixed("8, 9, 7\nBoth are good."),
            "out_of_range": _fixed("80 95\nBoth are good."),
        },
    ),
    "mt_bench": JudgeStyle(
        lambda text: IN_BRACKETS.search(text) is not None,
        _mt_bench,
        {
            "truncated": lambda rng: _mt_bench(rng).split("Rating")[0].rstrip(),
            "fenced": _fenced(_mt_bench),
            "prose": _prose,
            "wrong_count": _fixed("Rating: [[]]"),
            "out_of_range": _fixed("The answer is excellent.\n\nRating: [[80]]"),
        },
        readable=("fenced",),
    ),
    "mmhal": JudgeStyle(
        lambda text: "Rating:" in text,
        _mmhal,
        {
            "truncated": lambda rng: _mmhal(rng).split("Rating")[0].rstrip(),
            "fenced": _fenced(_mmhal),
            "prose": _prose,
            "wrong_count": _fixed("Rating:"),
            "out_of_range": _fixed("The response is excellent.\nRating: 9"),
        },
        readable=("fenced",),
    ),
}
"""The judges by the names of their tasks, those with the most specific marks first."""
