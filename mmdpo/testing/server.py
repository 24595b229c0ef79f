"""Common parts of the rehearsal servers: a loopback HTTP server, its log, and transport faults."""

from __future__ import annotations

import argparse
import base64
import binascii
import io
import itertools
import json
import sys
import threading
import time
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import urlsplit

from PIL import Image

from mmdpo.errors import UserError
from mmdpo.testing.faults import GOOD, Faults
from mmdpo.testing.replies import completions, digest, readable

TRANSPORT = ("slow", "dropped", "non_utf8", "html", "endless", "bomb", "trickle", "redirect")
ANSWERS = (GOOD, "slow")
"""Outcomes of calls that are paid for and whose reply can be parsed, besides readable forms of replies."""
SLOW_SECONDS = 5.0
PAGE = b"<html><body>Please log in to this network.</body></html>"


@dataclass(frozen=True)
class Call:
    """A received request; the names of `headers` are in lower case, and `content` is what is not JSON."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    content: bytes = b""


@dataclass(frozen=True)
class Reply:
    """A response.

    Args:
        status: The HTTP status.
        content: JSON-able data or raw bytes.
        headers: More headers.
        sent: The share of the content that leaves the server.
        chunks: A body that is sent piece by piece, in place of `content`, until it ends or the client leaves.
    """

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    sent: float = 1.0
    chunks: Iterable[bytes] | None = None


class FakeServer(ThreadingHTTPServer):
    """A server on 127.0.0.1 that logs what it answered and what was wrong with requests.

    `answered` counts the valid answers per prompt, `seen` the calls per fault, `schemas` the calls with a schema;
    `complaints` lists what the real service would have objected to.
    """

    daemon_threads = True
    known: Sequence[str] = ()

    def __init__(
        self,
        faults: str = "",
        port: int = 0,
        seed: int = 0,
        slow_seconds: float = SLOW_SECONDS,
        requests_per_day: int | None = None,
    ) -> None:
        """Listen on the port.

        Args:
            faults: The fault script; see mmdpo.testing.faults.Faults.
            port: The port; 0 takes a free one.
            seed: Seed of the script's shares.
            slow_seconds: Duration of the fault `slow`.
            requests_per_day: Calls until the daily quota is used up.

        Raises:
            UserError: For a wrong script, or a port in use.
        """
        self.faults = Faults(faults, [*self.known, *TRANSPORT], seed)
        self.slow_seconds, self.requests_per_day = slow_seconds, requests_per_day
        self.answered: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.schemas = 0
        self.held = threading.Event()
        self._hold_after: int | None = None
        self._let_go = threading.Event()
        self._today, self._day_is_over = 0, False
        self._variants: Counter[str] = Counter()
        self.lock = threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UserError(f"--port {port}: {error.strerror or error}; type another") from error

    @abstractmethod
    def reply(self, call: Call) -> Reply:
        """Return the response to a call."""

    @property
    def origin(self) -> str:
        """The URL without a path."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        """The value for judge.base_url."""
        return self.origin

    @property
    def seen(self) -> Counter[str]:
        """The number of calls per fault, or without one."""
        return self.faults.met

    def new_day(self) -> None:
        """Reset the daily quota."""
        with self.lock:
            self._today, self._day_is_over = 0, False

    def hold(self, after: int) -> None:
        """Make calls hang after `after` more answers; the event `held` is set by the first of them."""
        with self.lock:
            self._hold_after = self.answered.total() + after
        self.held.clear()
        self._let_go = threading.Event()

    def let_go(self) -> None:
        """Close the hanging calls without an answer, and answer later calls again."""
        with self.lock:
            self._hold_after = None
        self._let_go.set()

    def complain(self, text: str) -> None:
        """Log what is wrong with a request."""
        with self.lock:
            self.complaints.append(text)

    def count_schema(self) -> None:
        """Count a call with a reply schema."""
        with self.lock:
            self.schemas += 1

    def fault(self, text: str, images: Sequence[str]) -> str:
        """Return the fault of a call with this text and images; an answer is logged before it is sent."""
        prompt = digest(text, images)
        name = self._quota() or self.faults.next(prompt, bool(images))
        with self.lock:
            if name in ("daily_quota", "insufficient_quota"):
                self._day_is_over = True
            if name in ANSWERS or readable(text, name):
                self.answered[prompt] += 1
        if name == "slow":
            time.sleep(self.slow_seconds)
        return name

    def damaged(self, reply: Reply, name: str) -> Reply:
        """Return a valid reply after a transport fault; every second fault of a kind is in the middle of the reply."""
        if name == "redirect":
            return Reply(307, {}, {"location": "http://localhost:1/elsewhere"})
        if name == "endless":
            return Reply(chunks=itertools.repeat(b" " * 65536))
        if name == "bomb":
            return Reply(headers={"content-encoding": "gzip"}, chunks=_bomb())
        if name == "trickle":
            return Reply(chunks=self._trickle())
        if name == "html":
            return Reply(content=PAGE, headers={"content-type": "text/html"})
        if name not in ("dropped", "non_utf8"):
            return reply
        with self.lock:
            midway = self._variants[name] % 2
            self._variants[name] += 1
        if name == "dropped":
            return replace(reply, sent=midway / 2)
        content = json.dumps(reply.content).encode()
        half = content.rfind(b"merit") if b"merit" in content else len(content) // 2
        return replace(reply, content=content[: half * midway] + b"\xff\xfe" + content[half * midway :])

    def _trickle(self) -> Iterator[bytes]:
        """Yield a byte now and then, for `slow_seconds`."""
        ends = time.monotonic() + self.slow_seconds
        while time.monotonic() < ends:
            time.sleep(0.05)
            yield b" "

    def hangs(self) -> bool:
        """Return whether this call was held by a test, once `let_go` has been called."""
        with self.lock:
            held = self._hold_after is not None and self.answered.total() >= self._hold_after
            gate = self._let_go
        if held:
            self.held.set()
            gate.wait()
        return held

    def _quota(self) -> str | None:
        with self.lock:
            self._today += 1
            if self.requests_per_day is not None and self._today > self.requests_per_day:
                self._day_is_over = True
            return "daily_quota" if self._day_is_over else None


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        announced = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(announced)
        if self.server.hangs() or len(body) < announced:  # the client was killed meanwhile
            self.close_connection = True
            return
        address = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        form = headers.get("content-type", "").startswith("multipart/")
        try:
            sent = json.loads(body) if body and not form else {}
        except ValueError:
            sent = None
        if not isinstance(sent, dict):
            self.server.complain("the body is not a JSON object")
            sent = {}
        reply = self.server.reply(Call(self.command, address.path, address.query, headers, sent, body if form else b""))
        try:
            self._write(reply)
        except OSError:  # the client is gone
            self.close_connection = True

    def _write(self, reply: Reply) -> None:
        if not reply.sent:
            self.close_connection = True
            return
        if reply.chunks is not None:
            self._write_chunks(reply, reply.chunks)
            return
        content = reply.content
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json; charset=UTF-8", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: int(len(content) * reply.sent)])
        if reply.sent < 1:
            self.close_connection = True

    def _write_chunks(self, reply: Reply, chunks: Iterable[bytes]) -> None:
        self.close_connection = True
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", "connection": "close", **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(chunk)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Log nothing: a URL may contain a key."""


def _bomb() -> Iterator[bytes]:
    """Yield a gzip stream of some kilobytes that becomes 64 MiB."""
    packer = zlib.compressobj(wbits=31)
    for _ in range(64):
        yield packer.compress(b" " * (1 << 20))
    yield packer.flush()


def served_name(model: str) -> str:
    """Return the name of a model in responses: services answer with a version of the model that was asked."""
    return f"{model}-001"


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text: one per four letters."""
    return -(-len(text) // 4)


def wrong_image(data: Any, mime: Any) -> str | None:
    """Return what is wrong with an image in base64 of either alphabet; None if it can be decoded."""
    try:
        content = base64.b64decode(str(data).translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        return "an image is not base64"
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            found = Image.MIME.get(image.format or "")
    except Exception as error:  # Pillow's decoders raise what they like
        return f"an image cannot be read ({type(error).__name__})"
    return None if found == mime else f"an image is declared as {mime} and is {found}"


def wrong_schema(schema: Any, text: str) -> str | None:
    """Return what is wrong with a reply's schema for this request; None if it fits."""
    try:
        ratings = schema["properties"]["ratings"]
        count, labels = ratings["maxItems"], ratings["items"]["properties"]["label"]["enum"]
    except (KeyError, TypeError):
        return "a schema has no ratings"
    presented = len(completions(text))
    return None if count == len(labels) == presented else f"a schema of {count} ratings for {presented} completions"


Server = TypeVar("Server", bound=FakeServer)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run a server in a thread until the end of the block."""
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.let_go()
            server.shutdown()
            thread.join()


def run_server(
    make: Callable[..., FakeServer],
    port: int,
    line: str,
    arguments: Sequence[str] | None = None,
    more: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> int:
    """Run a rehearsal server until it is interrupted.

    Args:
        make: Makes the server.
        port: Its default port.
        line: The command that uses the server, with `{url}`; printed at the start.
        arguments: Command line; None for the process's own.
        more: Adds options of this server.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description="A rehearsal server on 127.0.0.1; it costs nothing.")
    parser.add_argument("--port", type=int, default=port, help=f"default: {port}; 0 takes a free one")
    parser.add_argument("--faults", default="", help="such as throttled:3,busy:10%% (NAME:COUNT, NAME:SHARE%%)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the shares; default: 0")
    parser.add_argument("--slow-seconds", type=float, default=SLOW_SECONDS, help="duration of the fault `slow`")
    parser.add_argument("--requests-per-day", type=int, help="calls until the daily quota is used up")
    more(parser)
    try:
        server = make(**vars(parser.parse_args(arguments)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with server:
        try:
            print(line.format(url=server.url), flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"\nanswered: {server.answered.total()}; calls: {dict(server.seen)}")
            for complaint in server.complaints:
                print(f"wrong with a request: {complaint}")
    return 0
