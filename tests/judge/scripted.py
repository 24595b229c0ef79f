"""A judge with a scripted reply per call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from mmdpo.clients.answers import Answer
from mmdpo.clients.request import Request
from mmdpo.config.schema import JudgeConfig, LimitsConfig, PriceConfig
from mmdpo.judge.parsing import LABELS
from mmdpo.judge.rating_request import RatingRequest
from mmdpo.records import Completion, Prompt, Rating
from tests.support.ratings import rating

Step = str | Exception | Callable[[Request], str]


def rating_of(text: str) -> Rating:
    """A rating computed from the text alone."""
    return rating(len(text) % 5, len(text) // 5 % 5, 4, 1, min(4, len(text.split())))


def good(request: Request) -> str:
    """The reply in JSON that rates each completion by its text."""
    assert isinstance(request, RatingRequest)
    rows = [{"label": label, **rating_of(text)} for label, text in zip(LABELS, request.texts, strict=False)]
    return json.dumps({"reviews": [], "calibration": "", "ratings": rows})


class Scripted:
    """Client that takes one step of the script per call, then continues with good replies."""

    def __init__(self, *script: Step) -> None:
        self.script = list(script)
        self.calls: list[tuple[str, str]] = []  # prompt id and the text that was sent
        self._lock = threading.Lock()

    def ask(self, request: Request) -> Answer:
        with self._lock:
            self.calls.append((request.record_id, request.text))
            step = self.script.pop(0) if self.script else good
        if isinstance(step, Exception):
            raise step
        reply = step(request) if callable(step) else step
        return Answer(reply, tokens_in=1000, tokens_out=100, truncated=reply.endswith("..."))


def judge_config(**limits: Any) -> JudgeConfig:
    """A paid judge without waiting."""
    return JudgeConfig(
        "gemini", "gemini", "some-model", limits=LimitsConfig(**limits), price=PriceConfig(1.0, 10.0, of="2026-01")
    )


def items(count: int, texts: Sequence[str] = ("yes", "no it is", "a red square", "perhaps so")) -> list[Any]:
    """Prompts with their completions."""
    return [
        (
            Prompt(f"p{number}", f"What is in picture {number}?"),
            [Completion(f"p{number}", index, f"{text} {number}") for index, text in enumerate(texts)],
        )
        for number in range(count)
    ]
