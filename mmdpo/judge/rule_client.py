"""A client for judges of fixed rules: their ratings take the same path as those of a service."""

from __future__ import annotations

import json
from collections.abc import Callable

from mmdpo.clients.answers import Answer
from mmdpo.clients.request import Request
from mmdpo.judge.parsing import LABELS
from mmdpo.judge.rating_request import RatingRequest
from mmdpo.records import Prompt, Rating

Rate = Callable[[Prompt, str], Rating]
"""The rules of a judge: the rating of one answer to a prompt."""


class RuleClient:
    """Client that rates by rules and replies in JSON, as a service does, at no cost."""

    def __init__(self, rate: Rate) -> None:
        """Take the rules."""
        self.rate = rate

    def ask(self, request: Request) -> Answer:
        """Return the reply to a RatingRequest."""
        assert isinstance(request, RatingRequest)
        ratings = [
            {"label": label, **self.rate(request.prompt, text)}
            for label, text in zip(LABELS, request.texts, strict=False)
        ]
        return Answer(json.dumps({"reviews": [], "calibration": "", "ratings": ratings}))
