"""Requests of LLaVA-Bench to a judge: the image as text, the question and two answers; two scores come back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message

TEMPERATURE = 0.2
MAX_OUTPUT_TOKENS = 1024
LOWEST, HIGHEST = 1.0, 10.0
FAILED = (-1.0, -1.0)
SYSTEM = "You are a helpful and precise assistant for checking the quality of the answer."


def messages(facts: Mapping[str, Any], question: str, answer: str) -> tuple[Message, ...]:
    """Return the chat as upstream builds it.

    Args:
        facts: The image's caption, the reference answer, and the role and instruction of the rule file.
        question: The question.
        answer: The model's answer.
    """
    role = facts["role"]
    parts = [
        ("[Context]", facts["caption"]),
        ("[Question]", question),
        (f"[{role} 1]", f"{facts['reference']}\n\n[End of {role} 1]"),
        (f"[{role} 2]", f"{answer}\n\n[End of {role} 2]"),
        ("[System]", facts["instruction"]),
    ]
    user = "".join(f"{heading}\n{text}\n\n" for heading, text in parts)
    return Message("system", SYSTEM), Message("user", user)


def parse(text: str) -> tuple[float, float] | ParseFailure:
    """Read the scores of reference and answer from 1 to 10: the two numbers of the first line with text.

    Commas and spaces between them do not matter, and neither do Markdown's asterisks.
    """
    lines = [line for line in text.replace("*", "").splitlines() if line.strip()]
    words = re.split(r"[\s,]+", lines[0].strip(", \t")) if lines else []
    try:
        scores = [float(word) for word in words]
    except ValueError:
        scores = []
    if len(scores) != 2:
        return ParseFailure("no_two_scores")
    if not all(math.isfinite(score) and LOWEST <= score <= HIGHEST for score in scores):
        return ParseFailure("out_of_range")
    return scores[0], scores[1]


def parse_as_upstream(text: str) -> tuple[float, float]:
    """Read the scores as upstream's script, which splits "8, 9" into three parts and stores -1 for what it misses."""
    words = text.split("\n")[0].replace(",", " ").split(" ")
    try:
        first, second = (float(word) for word in words)
    except ValueError:
        return FAILED
    return (first, second) if math.isfinite(first + second) else FAILED
