"""What every judge's client does."""

from __future__ import annotations

from typing import Protocol

from mmdpo.clients.answers import Answer
from mmdpo.judge.request import Request


class Client(Protocol):
    """Asks a judge. `ask` may be called from several threads at once.

    Raises a NoAnswer of mmdpo.clients.answers, or UserError for what the user must mend, such as a key.
    """

    def ask(self, request: Request, text: str) -> Answer:
        """The reply to `text`, which is the request's or a reminder of it, with the request's image."""
        ...
