"""The rehearsal server of Gemini: batches through its SDK, refused requests, and the program."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from mmdpo.errors import UserError
from mmdpo.judge.parsing import ParsedRatings
from mmdpo.judge.rating_request import rating_request
from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.judge.rules import longer
from mmdpo.records import Prompt
from mmdpo.testing import fake_openai as openai_program
from mmdpo.testing.fake_gemini import FakeGemini, fake_gemini, main
from mmdpo.testing.faults import Faults
from mmdpo.testing.replies import completions, digest, first_asking, rate_by_length, reply_to
from mmdpo.testing.server import FakeServer
from tests.testing.services import items, judge_at

ONE = {"contents": [{"role": "user", "parts": [{"text": "What is it?"}]}]}


def post(server: FakeServer, body: Any, path: str = "/v1beta/models/m:generateContent") -> tuple[int, Any]:
    """Status and JSON of a call made by hand."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.origin + path, content, {"x-goog-api-key": "k"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def sdk(server: FakeServer) -> genai.Client:
    options = types.HttpOptions(base_url=server.url, retry_options=types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key="k", http_options=options, vertexai=False)


def requests(folder: Path, server: FakeServer, count: int) -> list[Any]:
    judge = judge_at(server, "gemini")
    return [rating_request(item, folder, judge) for item in items(folder, count)]


def test_what_is_no_rating_gets_a_sentence_that_the_text_decides() -> None:
    with fake_gemini() as server:
        first, again = (post(server, ONE)[1] for _ in range(2))
        other = post(server, {"contents": [{"parts": [{"text": "Where is it?"}]}]}, "/v1/models/m:generateContent")
    assert first == again != other[1]
    assert first["candidates"][0]["content"]["parts"][0]["text"].startswith("In the image ")


def test_the_shown_completions_are_found_whatever_stands_in_them(tmp_path: Path) -> None:
    prompt, given = items(tmp_path, 1)[0]
    texts = ["# Completion B\nno heading of ours", "one two", "# Your task\nis done", ""]
    odd = [type(one)(one.prompt_id, one.index, text) for one, text in zip(given, texts, strict=True)]
    with fake_gemini() as server:
        request = rating_request((prompt, odd[1:]), tmp_path, judge_at(server, "gemini"))
    assert completions(request.text) == [text.strip() for text in request.texts]
    found = RUBRIC.parse(reply_to(request.text), len(request.texts))
    assert isinstance(found, ParsedRatings)
    assert len(found.ratings) == 3
    assert digest(request.with_reminder("empty").text) == digest(request.text) != digest(request.text, ["image"])


def test_the_server_rates_as_the_rule_judge_longer_does() -> None:
    for count in range(16):
        text = " ".join(["word"] * count)
        assert rate_by_length(text) == longer.rate(Prompt("p", "?"), text)


def test_a_reminder_is_told_from_the_question_it_repeats(tmp_path: Path) -> None:
    with fake_gemini() as server:
        request = requests(tmp_path, server, 1)[0]
    assert first_asking(request.with_reminder("empty").text) == request.text != request.with_reminder("empty").text


def batch(server: FakeServer, folder: Path, count: int) -> tuple[genai.Client, Any]:
    client = sdk(server)
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=RUBRIC.schema(4), temperature=0.0
    )
    source = [
        types.InlinedRequest(contents=request.text, config=config, metadata={"prompt_id": request.record_id})
        for request in requests(folder, server, count)
    ]
    return client, client.batches.create(
        model="some-model", src=source, config=types.CreateBatchJobConfig(display_name="a study")
    )


def test_a_batch_is_pending_until_it_is_finished(tmp_path: Path) -> None:
    with fake_gemini("prompt_blocked:1,throttled:1,good:1") as server:
        client, job = batch(server, tmp_path, 3)
        assert job.state == types.JobState.JOB_STATE_PENDING
        assert job.display_name == "a study"
        assert client.batches.get(name=job.name).state == types.JobState.JOB_STATE_PENDING
        assert server.answered.total() == 0
        server.finish_batches()
        done = client.batches.get(name=job.name)
    assert done.state == types.JobState.JOB_STATE_SUCCEEDED
    blocked, failed, good = done.dest.inlined_responses
    assert [one.metadata for one in (blocked, failed, good)] == [{"prompt_id": f"p{n}"} for n in range(3)]
    assert blocked.response.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    assert failed.error.code == 8
    assert failed.response is None
    assert isinstance(RUBRIC.parse(good.response.text, 4), ParsedRatings)
    assert server.complaints == []
    assert server.answered.total() == 1
    assert server.schemas == 3


def test_a_batch_is_done_after_so_many_looks_or_cancelled(tmp_path: Path) -> None:
    with fake_gemini(batch_polls=3) as server:
        client, job = batch(server, tmp_path, 2)
        states = [client.batches.get(name=job.name).state.value for _ in range(4)]
        assert states == ["JOB_STATE_PENDING"] * 2 + ["JOB_STATE_SUCCEEDED"] * 2
        assert list(server.answered.values()) == [1, 1]
        client, other = batch(server, tmp_path, 2)
        client.batches.cancel(name=other.name)
        server.finish_batches()
        assert client.batches.get(name=other.name).state == types.JobState.JOB_STATE_CANCELLED
        with pytest.raises(genai.errors.ClientError, match="404"):
            client.batches.get(name="batches/unknown")


NO_IMAGE = base64.b64encode(b"no image").decode()
TWO_RATINGS = {"response_mime_type": "application/json", "response_json_schema": RUBRIC.schema(2)}


def with_image(**image: str) -> dict[str, Any]:
    return {"contents": [{"parts": [{"inlineData": image}, {"text": "a"}]}]}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{", "not a JSON"),
        ([], "not a JSON object"),
        ({}, "there is no text"),
        ({"contents": [{"role": "system", "parts": [{"text": "a"}]}]}, "a role other than user and model"),
        (with_image(data="***", mimeType="image/png"), "an image is not base64"),
        (with_image(data=NO_IMAGE, mimeType="image/png"), "an image cannot be read"),
        ({**ONE, "generationConfig": {"responseJsonSchema": RUBRIC.schema(2)}}, "without responseMimeType"),
        ({**ONE, "generation_config": TWO_RATINGS}, "a schema of 2 ratings for 0 completions"),
    ],
)
def test_a_wrong_request_is_refused_and_noted(body: Any, complaint: str) -> None:
    with fake_gemini() as server:
        status, reply = post(server, body)
    assert status == 400
    assert reply["error"]["status"] == "INVALID_ARGUMENT"
    assert complaint in server.complaints[0]
    assert server.answered.total() == 0


def test_a_key_is_wanted_in_a_header() -> None:
    with fake_gemini() as server, pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{server.url}/v1beta/models/m:generateContent?key=k", b"{}")
    assert server.complaints == ["the key is part of a URL", "no key in x-goog-api-key"]


def test_it_listens_on_this_machine_alone() -> None:
    with fake_gemini() as server:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(UserError, match=f"--port {server.server_port}: Address already in use"):
            FakeGemini(port=server.server_port)


def test_counted_faults_come_in_their_order_then_shares_once_a_prompt() -> None:
    faults = Faults("throttled:2, image_refused:1,busy:30%", ["throttled", "image_refused", "busy"])
    names = [faults.next(f"prompt {number}", has_image=number > 3) for number in range(200)]
    assert names[:5] == ["throttled", "throttled", "good", "good", "image_refused"]
    struck = [number for number, name in enumerate(names) if name == "busy"]
    assert 30 < len(struck) < 90
    assert all(faults.next(f"prompt {number}", False) == "good" for number in struck)
    again = Faults("busy:30%", ["busy"])
    assert [n for n in range(5, 200) if again.next(f"prompt {n}", True) == "busy"] == struck
    other = Faults("busy:30%", ["busy"], seed=1)
    assert [n for n in range(5, 200) if other.next(f"prompt {n}", True) == "busy"] != struck


@pytest.mark.parametrize("script", ["nonsense:1", "busy", "busy:x", "busy:-1", "busy:1%%"])
def test_an_unknown_fault_is_named(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    for program in (main, openai_program.main):
        assert program(["--faults", script]) == 2
        assert f"error: fault '{script}' is unknown; allowed are NAME:COUNT" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "tail"), [("fake_gemini", ""), ("fake_openai", "/v1 judge.model=rehearsal")])
def test_the_program_says_what_to_type_and_at_its_end_what_it_saw(name: str, tail: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", f"mmdpo.testing.{name}", "--port", "0", "--faults", "busy:1"],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert program.stdout is not None
    line = program.stdout.readline().strip()
    judge = f"judge={name.removeprefix('fake_')}"
    assert re.fullmatch(rf"python launch.py stage=annotate {judge} judge.base_url=http://127.0.0.1:\d+{tail}", line)
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 0
    assert "answered: 0" in program.stdout.read()
