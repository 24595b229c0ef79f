"""Replies over HTTP: whole, within a size and a time, and from the address that was typed."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Iterator

import pytest

from mmdpo.clients.answers import Temporary
from mmdpo.clients.transport import LimitedClient, read_limited, refuse_redirect, within
from mmdpo.errors import UserError

BODY = '{"text": "größer"}'.encode()


def read(body: bytes, encoding: str = "", largest: int = 1000, size: int = 7) -> bytes:
    chunks = (body[start : start + size] for start in range(0, len(body), size))
    return read_limited(chunks, encoding, largest, deadline=time.monotonic() + 60)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("", BODY), ("identity", BODY), ("GZIP", gzip.compress(BODY, mtime=0)), ("deflate", zlib.compress(BODY))],
)
def test_a_body_is_unpacked(encoding: str, packed: bytes) -> None:
    assert read(packed, encoding) == BODY


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"x" * 1001, "", "reply of more"),
        (gzip.compress(b"x" * 1001, mtime=0), "gzip", "reply of more"),
        (gzip.compress(BODY, mtime=0)[:-3], "gzip", "breaks off"),
        (BODY, "gzip", "compression"),
        (BODY, "br", "content-encoding br"),
    ],
)
def test_a_body_that_is_too_large_or_torn_is_temporary(body: bytes, encoding: str, reason: str) -> None:
    with pytest.raises(Temporary, match=reason):
        read(body, encoding)


def test_a_chunk_that_comes_too_late_ends_the_call() -> None:
    with pytest.raises(Temporary, match="in time"):
        read_limited([b"x"], "", 1000, deadline=time.monotonic() - 1)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\uDE00 \ud83d\ude00"', rb'"\ufffd \ud83d\ude00"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\\ud83d\\ude00"', rb'"\\ud83d\\ude00"'),
    ],
)
def test_halves_of_pairs_are_replaced(sent: bytes, kept: bytes) -> None:
    assert read(sent) == kept


def test_a_redirect_names_the_setting_of_its_node() -> None:
    refuse_redirect("judge", "https://a/v1", 200, "https://b")
    refuse_redirect("judge", "https://a/v1", 304, None)
    with pytest.raises(UserError, match=r"a redirects to b.*generator\.base_url=URL"):
        refuse_redirect("generator", "https://a/v1", 302, "https://b/login?token=x")


@pytest.fixture
def dripping() -> Iterator[int]:
    """A server that sends a header letter by letter, without end."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
                while not over.wait(0.02):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


def test_a_header_without_end_does_not_outlive_the_time(dripping: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = LimitedClient("judge", 0.3)
    with pytest.raises(Temporary, match="in time"):
        within(0.3, lambda: client.get(f"http://127.0.0.1:{dripping}"))
