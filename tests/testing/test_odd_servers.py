"""Servers that send what no API documents: the call fails for now, and the journal keeps what came."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.answers import Temporary
from mmdpo.clients.journal import Journal
from mmdpo.config.schema import PriceConfig
from mmdpo.errors import UserError
from mmdpo.records import Annotation
from mmdpo.testing.fake_gemini import FakeGemini
from mmdpo.testing.fake_openai import FakeOpenAI
from mmdpo.testing.server import Call, FakeServer, Reply, serving
from tests.testing.services import KEY, SERVERS, annotated, ask

NAMES = pytest.mark.parametrize("name", list(SERVERS))


class Odd:
    """Replaces the first reply of a server by another."""

    def __init__(self, name: str, change: Callable[[Any], Any]) -> None:
        kind: type[FakeServer] = FakeOpenAI if name == "openai" else FakeGemini
        self.left = 1

        class Server(kind):  # type: ignore[misc, valid-type]
            def reply(_, call: Call) -> Reply:
                reply = super().reply(call)
                if not self.left:
                    return reply
                self.left -= 1
                changed = change(reply.content)
                return changed if isinstance(changed, Reply) else Reply(content=changed)

        self.server = Server()

    def run(self) -> Any:
        return serving(self.server)


def rows(path: Path) -> list[Any]:
    query = "SELECT outcome, reason, reply, tokens_in >= 0, cost >= 0 FROM attempts ORDER BY id"
    return sqlite3.connect(path).execute(query).fetchall()


def within_choice(**message: Any) -> Callable[[Any], Any]:
    def change(content: Any) -> Any:
        content["choices"][0]["message"] |= message
        return content

    return change


def of_body(**more: Any) -> Callable[[Any], Any]:
    return lambda content: {**content, **more}


OPENAI: dict[str, Callable[[Any], Any]] = {
    "error in a success": lambda content: {"error": {"message": "overloaded", "code": 503}},
    "error text": lambda content: {"error": "overloaded"},
    "no choices": lambda content: {"id": "x"},
    "choices null": of_body(choices=None),
    "choice null": of_body(choices=[None]),
    "choices text": of_body(choices="none"),
    "message null": of_body(choices=[{"index": 0, "message": None, "finish_reason": "stop"}]),
    "content number": within_choice(content=7),
    "content object": within_choice(content={"a": 1}),
    "parts of another kind": within_choice(content=[3]),
    "body list": lambda content: [],
    "body null": lambda content: b"null",
    "body text": lambda content: b'"ok"',
    "brackets": lambda content: b"[" * 200_000,
    "empty": lambda content: b"",
    "usage list": of_body(usage=[1]),
}
GEMINI: dict[str, Callable[[Any], Any]] = {
    "error in a success": lambda content: {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
    "body list": lambda content: [],
    "body null": lambda content: b"null",
    "brackets": lambda content: b"[" * 200_000,
    "empty": lambda content: b"",
    "candidates text": of_body(candidates="none"),
    "candidate null": of_body(candidates=[None]),
    "parts of numbers": lambda content: {"candidates": [{"content": {"parts": [{"text": 3}]}, "finishReason": "STOP"}]},
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("openai", kind) for kind in OPENAI] + [(name, kind) for name in ("gemini", "gemini_legacy") for kind in GEMINI],
)
def test_an_odd_reply_is_kept_raw_and_asked_again(tmp_path: Path, name: str, kind: str) -> None:
    change = (OPENAI if name == "openai" else GEMINI)[kind]
    odd, journal = Odd(name, change), Journal(tmp_path / "j.sqlite")
    with odd.run() as server:
        (found,) = annotated(server, name, tmp_path, 1, journal)
    assert isinstance(found, Annotation)
    journal.close()
    failed, answered = rows(tmp_path / "j.sqlite")
    assert failed[0] == "failed"
    assert failed[1].startswith(("odd reply", "garbled reply", "error in a reply", "unreachable"))
    assert failed[2] is not None
    assert answered[0] == "answered"


def test_an_odd_reply_counts_for_the_budget(tmp_path: Path) -> None:
    odd, journal = Odd("openai", within_choice(content=7)), Journal(tmp_path / "j.sqlite")
    with odd.run() as server:
        annotated(server, "openai", tmp_path, 1, journal, price=PriceConfig(1.0, 10.0))
    costs = [cost for (cost,) in journal._rows.execute("SELECT cost FROM attempts")]
    assert len(costs) == 2
    assert min(costs) > 0.0005


@pytest.mark.parametrize(
    "usage",
    [
        *(None, {}, {"prompt_tokens": None, "completion_tokens": None}),
        *({"prompt_tokens": -5, "completion_tokens": -9}, {"prompt_tokens": 1 << 70, "completion_tokens": "12"}),
    ],
)
def test_tokens_that_are_no_counts_are_estimated(tmp_path: Path, usage: Any) -> None:
    odd, journal = Odd("openai", of_body(usage=usage)), Journal(tmp_path / "j.sqlite")
    with odd.run() as server:
        (found,) = annotated(server, "openai", tmp_path, 1, journal)
    assert isinstance(found, Annotation)
    counts = journal._rows.execute("SELECT tokens_in, tokens_out FROM attempts").fetchall()
    assert len(counts) == 1
    assert all(100 < count < 5000 for count in counts[0])


def half_an_emoji(content: Any) -> bytes:
    return json.dumps(content).replace("calibration", "calibration \\ud83d \\ud83d\\ude00").encode()


@NAMES
def test_half_an_emoji_is_replaced_and_the_reply_is_read(tmp_path: Path, name: str) -> None:
    odd, journal = Odd(name, half_an_emoji), Journal(tmp_path / "j.sqlite")
    with odd.run() as server:
        (found,) = annotated(server, name, tmp_path, 1, journal)
    assert isinstance(found, Annotation)
    ((outcome, _, reply, _, _),) = rows(tmp_path / "j.sqlite")
    assert outcome == "answered"
    assert "calibration � \N{GRINNING FACE}" in reply


def test_a_list_of_text_parts_is_the_text(tmp_path: Path) -> None:
    def parts(content: Any) -> Any:
        text = content["choices"][0]["message"]["content"]
        thought = {"type": "thinking", "thinking": "Hm."}
        return within_choice(content=[thought, {"type": "text", "text": text}])(content)

    with Odd("openai", parts).run() as server:
        (found,) = annotated(server, "openai", tmp_path, 1)
        assert isinstance(found, Annotation)
        assert server.seen == {"good": 1}


@NAMES
@pytest.mark.parametrize(
    ("fault", "reason"), [("endless", "more than 16 MiB"), ("bomb", "more than 16 MiB"), ("trickle", "no whole reply")]
)
def test_a_reply_ends_within_its_limits(tmp_path: Path, name: str, fault: str, reason: str) -> None:
    with SERVERS[name](f"{fault}:1", slow_seconds=30) as server, pytest.raises(Temporary, match=reason):
        ask(server, name, tmp_path, timeout=0.5 if fault == "trickle" else 30)


@NAMES
def test_no_redirect_is_followed(tmp_path: Path, name: str) -> None:
    with SERVERS[name]("redirect:1") as server:
        with pytest.raises(UserError, match=r"redirects to localhost:1.*judge\.base_url=") as raised:
            ask(server, name, tmp_path)
        assert server.seen == {"redirect": 1}
    assert KEY not in str(raised.value)


def throttled(wait: str) -> Callable[[Any], Reply]:
    body = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    return lambda content: Reply(429, body, {"retry-after": wait})


@pytest.mark.parametrize("wait", ["1000000000", "1e9", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_long_retry_after_is_capped_and_said(
    tmp_path: Path, wait: str, slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Odd("openai", throttled(wait)).run() as server:
        (found,) = annotated(server, "openai", tmp_path, 1, limits={"retry_after_longest": 90.0})
    assert isinstance(found, Annotation)
    assert max(slept) == pytest.approx(90, abs=1)
    assert "waiting 90 s" in capsys.readouterr().out


@pytest.mark.parametrize("wait", ["nan", "inf", "-5", "soon", ""])
def test_a_retry_after_that_is_no_time_is_ignored(tmp_path: Path, wait: str, slept: list[float]) -> None:
    with Odd("openai", throttled(wait)).run() as server:
        (found,) = annotated(server, "openai", tmp_path, 1)
    assert isinstance(found, Annotation)
    assert max(slept, default=0) <= 60


@pytest.mark.parametrize(
    ("parameter", "message", "setting"),
    [
        (
            "temperature",
            "Unsupported value: 0 is not supported.",
            "judge.temperature=null",
        ),
        (None, "Unknown parameter: response_format", "judge.structured=false"),
        ("reasoning_effort", "Unrecognized request argument supplied.", "judge.reasoning_effort=null"),
    ],
)
def test_a_refused_parameter_names_its_setting(
    tmp_path: Path, parameter: str | None, message: str, setting: str
) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": parameter, "code": "unsupported_value"}
    odd = Odd("openai", lambda content: Reply(400, {"error": error}))
    with odd.run() as server, pytest.raises(UserError, match=setting):
        ask(server, "openai", tmp_path)


@pytest.mark.parametrize("error", ["overloaded", None, [], {"details": None}, {"details": [{"violations": None}, 3]}])
def test_an_odd_error_of_gemini_is_temporary(tmp_path: Path, error: Any) -> None:
    odd = Odd("gemini", lambda content: Reply(429, {"error": error}))
    with odd.run() as server, pytest.raises(Temporary):
        ask(server, "gemini", tmp_path)


def sent(tmp_path: Path, name: str, **changes: Any) -> dict[str, Any]:
    """The body of a request to a server."""
    bodies: list[dict[str, Any]] = []
    kind: type[FakeServer] = FakeOpenAI if name == "openai" else FakeGemini

    class Server(kind):  # type: ignore[misc, valid-type]
        def reply(self, call: Call) -> Reply:
            bodies.append(call.body)
            return super().reply(call)

    with serving(Server()) as server:
        ask(server, name, tmp_path, **changes)
    return bodies[0]


def test_what_is_null_is_not_sent(tmp_path: Path) -> None:
    plain = sent(tmp_path, "openai")
    assert (plain["temperature"], plain["max_completion_tokens"]) == (0.0, 4096)
    assert "reasoning_effort" not in plain
    body = sent(tmp_path, "openai", temperature=None, reasoning_effort="low", extra_body={"top_k": 1})
    assert "temperature" not in body
    assert (body["reasoning_effort"], body["top_k"]) == ("low", 1)
    assert body["max_completion_tokens"] > 4096  # room for the thoughts


@pytest.mark.parametrize("name", ["gemini", "gemini_legacy"])
def test_gemini_takes_no_temperature_and_a_thinking_budget(tmp_path: Path, name: str) -> None:
    assert sent(tmp_path, name)["generationConfig"]["temperature"] == 0
    more = {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}
    extra = {"extra_body": more} if name == "gemini" else {}
    config = sent(tmp_path, name, temperature=None, **extra)["generationConfig"]
    assert "temperature" not in config
    assert config["maxOutputTokens"] == 4096
    assert sent(tmp_path, name, max_output_tokens=3)["generationConfig"]["maxOutputTokens"] > 4096  # thoughts count
    assert name != "gemini" or config["thinkingConfig"] == {"thinkingBudget": 0}
