"""Peculiarities of OpenAI's batch jobs: files, jobs that end half answered, and servers without jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdpo.clients.journal import Journal
from mmdpo.clients.openai import OpenAIClient
from mmdpo.clients.request import Message, ReplySettings, Request
from mmdpo.errors import UserError
from mmdpo.records import Annotation
from mmdpo.testing.fake_openai import FakeOpenAI, fake_openai
from mmdpo.testing.server import Call, Reply, serving
from tests.clients.batched import asked, left, rows
from tests.testing.services import judge_at

pytestmark = pytest.mark.usefixtures("batching")


@pytest.mark.parametrize("state", ["EXPIRED", "CANCELLED"])
def test_the_answered_part_of_a_job_that_broke_off_is_kept(
    tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    with fake_openai() as server:
        left(server, tmp_path, journal)
        server.finish_batches(state, answered=3)
        assert "2 requests submitted in 1 job (1 of them now); 3 of 5" in left(server, tmp_path, journal)
        assert f"2 batch_{state.lower()} in a job; 2 of its 5 requests" in capsys.readouterr().out
        server.finish_batches()
        assert all(isinstance(one, Annotation) for one in asked(server, tmp_path, journal))
    assert set(server.answered.values()) == {1}


def test_a_job_whose_creation_got_no_response_is_found_by_its_metadata(tmp_path: Path, journal: Journal) -> None:
    with serving(FakeOpenAI(batch_lost=1)) as server:
        assert "5 not submitted (the judge takes no job now" in left(server, tmp_path, journal)
        assert rows(journal, "name", "batches") == [(None,)]
        assert "5 requests submitted in 1 job (0 of them now)" in left(server, tmp_path, journal)
        assert rows(journal, "name", "batches") == [("batch_rehearsal0",)]
        server.finish_batches()
        assert len(asked(server, tmp_path, journal)) == 5
    assert len(server.batches) == 1


def test_a_job_ends_by_itself(tmp_path: Path, journal: Journal) -> None:
    with serving(FakeOpenAI(batch_polls=1, batch_ends="EXPIRED")) as server:
        left(server, tmp_path, journal)
        assert "3 requests submitted in 1 job (1 of them now); 2 of 5" in left(server, tmp_path, journal)


@pytest.mark.parametrize("line", [b"}", b'{"custom_id": null}', b'["custom_id"]', b"[" * 100_000])
def test_a_line_that_is_no_response_opens_its_request(tmp_path: Path, journal: Journal, line: bytes) -> None:
    with fake_openai() as server:
        left(server, tmp_path, journal)
        server.finish_batches()
        (job,) = server.batches.values()
        lines = server.files[job["output_file_id"]].splitlines()
        server.files[job["output_file_id"]] = b"\n".join([*lines[:2], line, *lines[3:]])
        assert "1 request submitted in 1 job (1 of them now); 4 of 5" in left(server, tmp_path, journal)


@pytest.mark.parametrize("body", [None, [], {"choices": [{"message": {"content": 3}}]}, {"error": "overloaded"}])
def test_an_odd_reply_in_a_job_does_not_lose_the_others(tmp_path: Path, journal: Journal, body: object) -> None:
    with fake_openai() as server:
        left(server, tmp_path, journal)
        server.finish_batches()
        (job,) = server.batches.values()
        lines = [json.loads(line) for line in server.files[job["output_file_id"]].splitlines()]
        lines[1]["response"]["body"] = body
        server.files[job["output_file_id"]] = b"\n".join(json.dumps(line).encode() for line in lines)
        assert "1 request submitted in 1 job (1 of them now); 4 of 5" in left(server, tmp_path, journal)
    (raw,) = [reply for outcome, reply in rows(journal, "outcome, reply") if outcome == "failed"]
    assert json.loads(raw)["response"]["body"] == body


def test_replies_that_the_service_deleted_are_asked_again(tmp_path: Path, journal: Journal) -> None:
    with fake_openai() as server:
        left(server, tmp_path, journal)
        server.finish_batches()
        server.files.clear()
        assert "5 requests submitted in 1 job (1 of them now)" in left(server, tmp_path, journal)


def test_a_refused_file_says_why(tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    with fake_openai() as server:
        left(server, tmp_path, journal)
        server.finish_batches("FAILED")
        left(server, tmp_path, journal)
    assert "job batch_rehearsal0: failed (the file cannot be read); 5 of its 5" in capsys.readouterr().out


def test_a_server_without_jobs_is_named(tmp_path: Path, journal: Journal) -> None:
    class ChatOnly(FakeOpenAI):
        def reply(self, call: Call) -> Reply:
            return super().reply(call) if "chat" in call.path else self._error("no_address")

    with serving(ChatOnly()) as server, pytest.raises(UserError, match=r"judge\.batch=false"):
        asked(server, tmp_path, journal)


def test_more_requests_than_a_file_takes() -> None:
    with fake_openai() as server, pytest.raises(UserError, match=r"judge\.batch_size=50000"):
        OpenAIClient(judge_at(server, "openai", batch=True, batch_size=50_001))


def test_a_line_holds_what_a_call_sends() -> None:
    settings = ReplySettings(None, 100, reasoning_effort="low", extra_body={"service_tier": "flex"})
    messages = (Message("system", "Be brief."), Message("user", "What is it?"))
    with fake_openai() as server:
        client = OpenAIClient(judge_at(server, "openai", batch=True))
        line = json.loads(client.pack_request(Request("k", "p", "annotate", messages, settings=settings)).content)
    assert line == {
        "custom_id": "k",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "some-model",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is it?"}],
            "max_completion_tokens": 4196,
            "reasoning_effort": "low",
            "service_tier": "flex",
        },
    }
