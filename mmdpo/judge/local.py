"""Judges of fixed rules, which need no service: their ratings take the same way as a service's."""

from __future__ import annotations

import json
from collections.abc import Callable

from mmdpo.clients.answers import Answer
from mmdpo.judge import longer
from mmdpo.judge.request import LABELS, Request
from mmdpo.nano import oracle
from mmdpo.records import Prompt, Rating

Rate = Callable[[Prompt, str], Rating]

RULES: dict[str, Rate] = {"oracle": oracle.rate, "longer": longer.rate}


class LocalJudge:
    """Rates by rules and replies in JSON, as a service does."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate

    def ask(self, request: Request, text: str) -> Answer:
        """The reply; it costs nothing."""
        ratings = [
            {"label": label, **vars(self.rate(request.prompt, shown))}
            for label, shown in zip(LABELS, request.texts, strict=False)
        ]
        return Answer(json.dumps({"reviews": [], "calibration": "", "ratings": ratings}))
