"""Interface of the clients.

A client is a file of this package that defines `make_client(judge)`; `judge.client` names the file. A file that
also sets `SUPPORTS_BATCHES = True` returns clients with the methods of `mmdpo.clients.batches.BatchService`.
"""

from __future__ import annotations

from typing import Protocol

from mmdpo.clients.answers import Answer
from mmdpo.clients.request import Request


class Client(Protocol):
    """Client of a model. `ask` may be called from several threads at once."""

    def ask(self, request: Request) -> Answer:
        """Return the reply to a request.

        Raises:
            NoAnswer: One of its subclasses in mmdpo.clients.answers, when there is no reply.
            UserError: For what the user must fix, such as a key.
        """
        ...
