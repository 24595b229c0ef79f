"""HTTP for the services' SDKs: no redirects, and a whole reply within a time and a size."""

from __future__ import annotations

import re
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from mmdpo.clients.answers import Temporary
from mmdpo.errors import UserError

LARGEST_REPLY = 16 << 20  # bytes, after decompression
LARGEST_BATCH = 256 << 20  # bytes of the replies of a batch job
KEPT = 100_000  # letters of a raw reply that are kept in an error

SURROGATES = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Escaped surrogates in JSON, as pairs where they are pairs."""

Result = TypeVar("Result")


class KeepsLastReply:
    """A mixin that gives each thread the last reply that it got."""

    _last: threading.local

    @property
    def body(self) -> bytes | None:
        """This thread's last reply; None if there was none."""
        return getattr(self._last, "body", None)

    @property
    def raw(self) -> str | None:
        """The start of this thread's last reply as text, for the journal."""
        return None if self.body is None else self.body[:KEPT].decode(errors="replace")


class LimitedClient(KeepsLastReply, httpx2.Client):
    """An HTTP client for all threads. Replies arrive whole, or the call raises Temporary or UserError."""

    def __init__(self, key: str, seconds: float, largest: int = LARGEST_REPLY, direct: bool = False) -> None:
        """Set the limits.

        Args:
            key: The config's node in messages, `judge` or `generator`.
            seconds: Time for a whole call.
            largest: Bytes of a reply.
            direct: Whether the environment's proxies are ignored, for a server on this machine.
        """
        identity = {"accept-encoding": "identity"}
        super().__init__(
            verify=_certificates(),
            timeout=seconds,
            follow_redirects=False,
            headers=identity,
            trust_env=not direct,
        )
        self._key, self._seconds, self._largest = key, seconds, largest
        self._last = threading.local()

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request and read the whole reply."""
        self._last.body = None
        deadline = time.monotonic() + self._seconds
        response = super().send(request, **{**options, "stream": True, "follow_redirects": False})
        try:
            refuse_redirect(self._key, str(request.url), response.status_code, response.headers.get("location"))
            encoding = response.headers.get("content-encoding", "")
            body = read_limited(response.iter_raw(), encoding, self._largest, deadline)
        finally:
            response.close()
        self._last.body = body
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in FRAMING]
        return httpx2.Response(response.status_code, headers=headers, content=body, request=request)


@cache
def _certificates() -> ssl.SSLContext:
    """Load the trusted certificates once."""
    return httpx2.create_ssl_context()


FRAMING = ("content-encoding", "content-length", "transfer-encoding")
"""Headers of the transfer, which do not apply to a body that was read."""


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return the result of a call, which runs in a thread of its own.

    Timeouts of HTTP libraries count from byte to byte, so that a server that sends a byte now and then holds a call
    for any time. Raises Temporary after `seconds`; the thread is left to its end.
    """
    done: SimpleQueue[tuple[Result | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put((call(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, name="call", daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except Empty:
        raise too_slow() from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def too_slow() -> Temporary:
    """Return the error of a call that has not ended in time."""
    return Temporary("unreachable (no whole reply in time)")


def refuse_redirect(key: str, url: str, status: int, location: str | None) -> None:
    """Raise UserError for a redirect: the request carries a key and other people's images.

    Args:
        key: The config's node in messages, `judge` or `generator`.
        url: What was asked.
        status: The HTTP status of the reply.
        location: Where the reply redirects to, if it does.
    """
    if 300 <= status < 400 and location:
        host, other = urlsplit(url).netloc, urlsplit(location).netloc or "another path"
        raise UserError(
            f"{host} redirects to {other}; a key is sent nowhere but to the address that you typed. If you trust the "
            f"other address, type {key}.base_url=URL with it."
        )


def read_limited(chunks: Iterable[bytes], encoding: str, largest: int, deadline: float) -> bytes:
    """Return a body, decompressed and without halves of surrogate pairs.

    Args:
        chunks: The body as it comes.
        encoding: Its Content-Encoding.
        largest: Bytes that the body may have.
        deadline: Latest time of `time.monotonic`.

    Raises:
        Temporary: The body is larger, comes too slowly, or cannot be decompressed.
    """
    plain = encoding.strip().lower() in ("", "identity")
    if not plain and encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise Temporary(f"garbled reply (content-encoding {encoding[:40]})")
    inflater = zlib.decompressobj(wbits=47)  # gzip or zlib
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        if time.monotonic() > deadline:
            raise too_slow()
        if not plain:
            try:
                chunk = inflater.decompress(chunk, largest - size + 1)
            except zlib.error:
                raise Temporary("garbled reply (compression)") from None
        size += len(chunk)
        if size > largest:
            start = b"".join(pieces)[:KEPT].decode(errors="replace")
            raise Temporary(f"reply of more than {largest >> 20} MiB", raw=start)
        pieces.append(chunk)
    if not plain and not inflater.eof:
        raise Temporary("unreachable (a reply that breaks off)")
    body = b"".join(pieces)
    return SURROGATES.sub(_whole_pair, body) if rb"\ud" in body or rb"\uD" in body else body


def _whole_pair(found: re.Match[bytes]) -> bytes:
    return found[0] if len(found[2]) == 12 else found[1] + rb"\ufffd"
