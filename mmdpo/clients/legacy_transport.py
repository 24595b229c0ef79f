"""HTTP for Google's old SDK, which sends by `requests`: the limits of mmdpo.clients.transport."""

from __future__ import annotations

import threading
import time
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from mmdpo.clients.answers import Temporary
from mmdpo.clients.transport import LARGEST_REPLY, KeepsLastReply, read_limited, refuse_redirect


class LimitedAdapter(KeepsLastReply, HTTPAdapter):
    """An adapter for all threads. Replies arrive whole, or the call raises Temporary or UserError."""

    def __init__(self, key: str, seconds: float) -> None:
        """Set the time for a whole call; `key` is the config's node in messages."""
        super().__init__()
        self._key, self._seconds = key, seconds
        self._last = threading.local()

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        """Send a request and read the whole reply."""
        self._last.body = None
        deadline = time.monotonic() + self._seconds
        response = super().send(request, *arguments, **{**options, "stream": True})
        try:
            refuse_redirect(self._key, str(request.url), response.status_code, response.headers.get("location"))
            encoding = response.headers.pop("content-encoding", "")
            chunks = response.raw.stream(65536, decode_content=False)
            body = read_limited(chunks, encoding, LARGEST_REPLY, deadline)
        except HTTPError as error:
            raise Temporary(f"unreachable ({type(error).__name__})") from None
        finally:
            response.raw.close()
        self._last.body = body
        response._content, response._content_consumed = body, True
        return response
