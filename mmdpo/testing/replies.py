"""What a rehearsed judge says: ratings that the text alone decides, in a good form or a scripted bad one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from random import Random

from mmdpo.judge.longer import rate
from mmdpo.judge.request import LABELS, REMINDER
from mmdpo.records import Prompt, Rating

LISTED = re.compile(r"one entry for each of the completions ([A-Z](?:, [A-Z])*), in this order\.")
WORDS = "the a small large red blue round square shape stands left right of above below another one".split()
ANYONE = Prompt("rehearsal", "?")

FORMS = ("truncated", "fenced", "prose", "wrong_count", "out_of_range", "empty")
"""Faults of the reply's text, which come in a sound response."""


def first_asking(text: str) -> str:
    """The text without a reminder of an earlier reply: what tells one prompt from another."""
    return text.split("\n" + REMINDER.split("%s")[0], 1)[0]


def digest(text: str, images: Sequence[str] = ()) -> str:
    """The name under which a prompt, with its images in base64, stands in a server's log."""
    return sha256("\n".join([first_asking(text), *images]).encode()).hexdigest()


def completions(text: str) -> list[str]:
    """The completions that a request shows, in its order; none where it asks for no ratings."""
    listed = LISTED.findall(text)
    if not listed:
        return []
    labels = listed[-1].split(", ")
    starts, place = [], 0
    for label in labels:
        heading = f"# Completion {label}\n"
        found = text.find(heading, place)
        if found < 0:
            return []
        place = found + len(heading)
        starts.append((found, place))
    ends = [found for found, _ in starts[1:]] + [text.rfind("\n# Your task\n")]
    return [text[start:end].strip() for (_, start), end in zip(starts, ends, strict=True)]


def sentence(text: str, salt: str = "") -> str:
    """A short answer that depends on the text (and on `salt`) alone."""
    rng = Random(f"{first_asking(text)} {salt}")
    words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 15)))
    return f"In the image {words}."


def reply_to(text: str, form: str | None = None, salt: str = "") -> str:
    """The reply to a request, in one of FORMS, else as it should be."""
    shown = completions(text)
    whole = _ratings(shown, form) if shown else sentence(text, salt)
    if form == "empty":
        return ""
    if form == "truncated":
        return whole[: len(whole) // 2]
    if not shown:
        return whole
    if form == "fenced":
        return f"Here are my ratings.\n```json\n{whole}\n```\nAsk me for more."
    if form == "prose":
        return _prose(shown)
    return whole


def _ratings(shown: list[str], form: str | None) -> str:
    rows = [{"label": label, **vars(rate(ANYONE, text))} for label, text in zip(LABELS, shown, strict=False)]
    if form == "wrong_count":
        rows.pop()
    if form == "out_of_range":
        rows[-1]["helpfulness"] = 7
    reviews = [{"label": row["label"], "reasoning": "Its length is its merit."} for row in rows]
    calibration = "Every word counts as much as any other."
    return json.dumps({"reviews": reviews, "calibration": calibration, "ratings": rows}, indent=1)


def _prose(shown: list[str]) -> str:
    """As the paper's appendix prints ratings."""
    return "\n\n".join(
        f"Completion {label}\n{_line(rate(ANYONE, text))}" for label, text in zip(LABELS, shown, strict=False)
    )


def _line(rating: Rating) -> str:
    return (
        f"Helpfulness: {rating.helpfulness}\nCorrectness {rating.correctness}\n"
        f"Coherence: {rating.coherence}\nComplexity: {rating.complexity}\nVerbose: {rating.verbosity}"
    )
