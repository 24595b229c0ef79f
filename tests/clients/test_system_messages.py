"""A message of the system goes where each service takes it, and images stay with the user's first message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.batches import BatchService
from mmdpo.clients.request import Message, Request
from mmdpo.judge.judges import client_of
from mmdpo.testing.server import Call, FakeServer
from tests.sources.photographs import photograph
from tests.testing.services import KEY, SERVERS, VARIABLE, judge_at


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    picture = tmp_path / "coffee.png"
    photograph("coffee.png", 16).save(picture)
    messages = (Message("system", "Be fair."), Message("user", "Rate it!"), Message("assistant", "What?"))
    return Request("k", "p", "bench/x", (*messages, Message("user", "The cup.")), images=(picture,))


@pytest.fixture(params=SERVERS)
def called(request: pytest.FixtureRequest) -> Iterator[tuple[str, FakeServer, list[Call]]]:
    """A service, its rehearsal, and the calls that it got."""
    with SERVERS[request.param]() as server:
        calls: list[Call] = []
        answer = server.reply
        server.reply = lambda call: (calls.append(call), answer(call))[1]  # type: ignore[method-assign, func-returns-value]
        yield request.param, server, calls
        assert server.complaints == []


def test_the_system_speaks_first(request_: Request, called: tuple[str, FakeServer, list[Call]]) -> None:
    name, server, calls = called
    assert client_of(judge_at(server, name)).ask(request_).text
    (call,) = calls
    assert parts_of(name, call.body) == EXPECTED


def test_the_system_speaks_first_in_a_job(request_: Request, called: tuple[str, FakeServer, list[Call]]) -> None:
    name, server, calls = called
    client = client_of(judge_at(server, name, batch=True))
    if not isinstance(client, BatchService):
        assert name == "gemini_legacy"
        return
    client.create_batch("job", [client.pack_request(request_)])
    body: Any
    if name == "openai":
        body = json.loads(server.files["file-rehearsal0"])["body"]  # type: ignore[attr-defined]
    else:
        body = calls[0].body["batch"]["inputConfig"]["requests"]["requests"][0]["request"]
    assert parts_of(name, body) == EXPECTED


IMAGE = "(image)"
EXPECTED = [("system", ["Be fair."]), ("user", [IMAGE, "Rate it!"]), ("model", ["What?"]), ("user", ["The cup."])]


def parts_of(name: str, body: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Roles and contents as they were sent, whatever the service calls them."""
    if name == "openai":
        return [
            (message["role"].replace("assistant", "model"), _texts(message["content"])) for message in body["messages"]
        ]
    contents = [{**body["systemInstruction"], "role": "system"}, *body["contents"]]
    return [(content["role"], _texts(content["parts"])) for content in contents]


def _texts(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [part.get("text", IMAGE) for part in content]
