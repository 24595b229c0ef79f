"""What a judge is shown: rubric, question, image, and all completions of a prompt in a seeded order."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import ascii_uppercase
from typing import Any

from mmdpo.config.choices import ATTRIBUTES
from mmdpo.errors import UserError
from mmdpo.files import fingerprint
from mmdpo.records import Prompt

RUBRICS = "mmdpo.judge.rubrics"
LABELS = ascii_uppercase
SCALE = (0, 4)

TASK = """\
First review each completion: what is right, what is wrong, what is missing. Then calibrate: compare the
completions with each other and say which ratings would be too high or too low. Then rate each completion
with five whole numbers from 0 to 4.

Reply with one JSON object and nothing else:
{"reviews": [{"label": "A", "reasoning": "..."}, ...],
 "calibration": "...",
 "ratings": [{"label": "A", "helpfulness": 0, "correctness": 0, "coherence": 0, "complexity": 0,
              "verbosity": 0}, ...]}
with one entry for each of the completions %s, in this order.
"""
REMINDER = """\
Your last reply could not be read (%s). Reply with the JSON object alone, one rating for each completion.
"""


@dataclass(frozen=True)
class Request:
    """One question to a judge; `texts` are the distinct completions in the order in which they are shown.

    `image` is the file's place; `key` names all that the reply depends on, the image's content too.
    """

    key: str
    prompt: Prompt
    texts: tuple[str, ...]
    order: tuple[int, ...]  # at each place, which of the distinct completions stands there
    text: str
    image: Path | None


@functools.cache
def rubric(version: str) -> str:
    """The text of a rubric; the files lie in mmdpo/judge/rubrics."""
    file = importlib.resources.files(RUBRICS).joinpath(f"{version}.md")
    if not file.is_file():
        raise UserError(f"judge.rubric={version}: unknown; allowed are {', '.join(rubrics())}")
    return file.read_text(encoding="utf-8")


def rubrics() -> list[str]:
    """The versions there are."""
    files = importlib.resources.files(RUBRICS).iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".md"))


def make_request(
    prompt: Prompt,
    texts: Sequence[str],
    image: tuple[Path, str] | None,
    judge: dict[str, Any],
    version: str,
    seed: int,
    round_: int = 0,
) -> Request:
    """The request for distinct completions `texts`; `image` is a file and its digest.

    `judge` holds what else a reply depends on: model and its parameters. `round_` tells a repeated
    question, asked for the agreement, from the first one; its order is another.
    """
    order = list(range(len(texts)))
    Random(f"{seed} {round_} {prompt.id}").shuffle(order)
    shown = tuple(texts[place] for place in order)
    text = _text(rubric(version), prompt, shown)
    key = fingerprint([text, image and image[1], judge, round_], length=32)
    return Request(key, prompt, shown, tuple(order), text, image and image[0])


def reminded(request: Request, reason: str) -> str:
    """The request's text, asked once more after a reply that could not be read.

    A question that wants no ratings is asked as it was: the reminder would be answered with JSON.
    """
    return f"{request.text}\n{REMINDER % reason}" if request.texts else request.text


def schema(count: int) -> dict[str, Any]:
    """JSON schema of a reply that rates `count` completions."""
    label = {"type": "string", "enum": list(LABELS[:count])}
    number = {"type": "integer", "minimum": SCALE[0], "maximum": SCALE[1]}

    def each(**fields: Any) -> dict[str, Any]:
        item = {
            "type": "object",
            "properties": {"label": label, **fields},
            "required": ["label", *fields],
            "additionalProperties": False,
        }
        return {"type": "array", "items": item, "minItems": count, "maxItems": count}

    return {
        "type": "object",
        "properties": {
            "reviews": each(reasoning={"type": "string"}),
            "calibration": {"type": "string"},
            "ratings": each(**dict.fromkeys(ATTRIBUTES, number)),
        },
        "required": ["reviews", "calibration", "ratings"],
        "additionalProperties": False,
    }


def _text(guide: str, prompt: Prompt, shown: Sequence[str]) -> str:
    earlier = "".join(f"\nUser: {exchange.question}\nAssistant: {exchange.answer}" for exchange in prompt.history)
    parts = [
        guide,
        f"# Conversation so far\n{earlier.strip()}\n" if earlier else "",
        f"# Question\n{prompt.question}\n",
        *(f"# Completion {label}\n{text}\n" for label, text in zip(LABELS, shown, strict=False)),
        f"# Your task\n{TASK % ', '.join(LABELS[: len(shown)])}",
    ]
    return "\n".join(part for part in parts if part)
