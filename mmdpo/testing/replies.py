"""Replies of a rehearsal server: ratings computed from the text alone, in a valid form or in a scripted faulty one.

Like a real service, it uses only the text of a request. The judges of benchmarks reply as
mmdpo/testing/benchmark_replies.py says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from random import Random
from string import ascii_uppercase

from mmdpo.testing.benchmark_replies import style_of

LISTED = re.compile(r"one entry for each of the completions ([A-Z](?:, [A-Z])*), in this order\.")
MARKER = re.compile(r"Each completion below stands between the lines <([\w-]+)>")
REMINDER = "\nYour last reply could not be read ("
"""Start of the reminder after a reply that could not be parsed."""
HIGHEST = 4
WORDS = "the a small large red blue round square shape stands left right of above below another one".split()

FORMS = ("truncated", "fenced", "prose", "wrong_count", "out_of_range", "empty")
"""Faults of the reply's text, in an otherwise valid response."""


def first_asking(text: str) -> str:
    """Return the text without a reminder, which identifies the prompt."""
    return text.split(REMINDER, 1)[0]


def digest(text: str, images: Sequence[str] = ()) -> str:
    """Return the name of a prompt in a server's log; `images` are in base64."""
    return sha256("\n".join([first_asking(text), *images]).encode()).hexdigest()


def readable(text: str, form: str) -> bool:
    """Return whether the reply to a request can be read in a form of FORMS."""
    style = None if completions(text) else style_of(text)
    return form in (("fenced", "prose") if style is None else style.readable)


def completions(text: str) -> list[str]:
    """Return the completions that a request presents, in its order; none if it asks for no ratings."""
    listed = LISTED.findall(text)
    if not listed:
        return []
    labels = listed[-1].split(", ")
    if fenced := _fenced(text, len(labels)):
        return [one.strip() for one in fenced]
    starts, position = [], 0
    for label in labels:
        heading = f"# Completion {label}\n"
        found = text.find(heading, position)
        if found < 0:
            return []
        position = found + len(heading)
        starts.append((found, position))
    ends = [found for found, _ in starts[1:]] + [text.rfind("\n# Your task\n")]
    return [text[start:end].strip() for (_, start), end in zip(starts, ends, strict=True)]


def _fenced(text: str, count: int) -> list[str]:
    """Return the completions between their markers, which the request's first line names."""
    marker = MARKER.match(text)
    if not marker:
        return []
    pieces = text.split(f"\n<{marker[1]}>\n")[1:]
    found = [piece.split(f"\n</{marker[1]}>\n", 1)[0] for piece in pieces]
    return found if len(found) == count else []


def rate_by_length(text: str) -> dict[str, int]:
    """Return ratings whose first three attributes sum up to the number of words, up to 12."""
    words = len(text.split())
    first, second, third = (min(HIGHEST, max(0, words - HIGHEST * index)) for index in range(3))
    return {
        "helpfulness": first,
        "correctness": second,
        "coherence": third,
        "complexity": 0,
        "verbosity": min(HIGHEST, words // 3),
    }


def sentence(text: str, salt: str = "") -> str:
    """Return a short answer that depends on the text (and on `salt`) alone."""
    rng = Random(f"{first_asking(text)} {salt}")
    words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 15)))
    return f"In the image {words}."


def reply_to(text: str, form: str | None = None, salt: str = "") -> str:
    """Return the reply to a request.

    Args:
        text: The text of the request.
        form: One of FORMS for a faulty reply.
        salt: Distinguishes several answers to one text.
    """
    presented = completions(text)
    if not presented and (style := style_of(text)) is not None:
        return style.reply(first_asking(text), form)
    whole = _ratings(presented, form) if presented else sentence(text, salt)
    if form == "empty":
        return ""
    if form == "truncated":
        return whole[: len(whole) // 2]
    if not presented:
        return whole
    if form == "fenced":
        return f"Here are my ratings.\n```json\n{whole}\n```\nAsk me for more."
    if form == "prose":
        return _prose(presented)
    return whole


def _ratings(presented: list[str], form: str | None) -> str:
    rows = [{"label": label, **rate_by_length(text)} for label, text in zip(ascii_uppercase, presented, strict=False)]
    if form == "wrong_count":
        rows.pop()
    if form == "out_of_range":
        rows[-1]["helpfulness"] = 7
    reviews = [{"label": row["label"], "reasoning": "Its length is its merit."} for row in rows]
    calibration = "Every word counts as much as any other."
    return json.dumps({"reviews": reviews, "calibration": calibration, "ratings": rows}, indent=1)


def _prose(presented: list[str]) -> str:
    """Return ratings in the form that the paper's appendix prints."""
    return "\n\n".join(
        f"Completion {label}\n{_lines(rate_by_length(text))}"
        for label, text in zip(ascii_uppercase, presented, strict=False)
    )


def _lines(rating: dict[str, int]) -> str:
    forms = ("Helpfulness: {helpfulness}", "Correctness {correctness}", "Coherence: {coherence}")
    return "\n".join((*forms, "Complexity: {complexity}", "Verbose: {verbosity}")).format(**rating)
