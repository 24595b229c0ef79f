"""Batches through the services' own libraries against their rehearsals: submitted once and collected once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.answers import Temporary
from mmdpo.clients.gemini import GeminiClient
from mmdpo.clients.journal import Journal
from mmdpo.clients.openai import OpenAIClient
from mmdpo.config.schema import PriceConfig
from mmdpo.judge.rating_request import rating_request
from mmdpo.records import Annotation, Unscored
from mmdpo.testing.fake_gemini import FakeGemini
from mmdpo.testing.fake_openai import FakeOpenAI
from mmdpo.testing.server import serving
from tests.clients.batched import Server, asked, left, one_by_one, rows, service_of
from tests.testing.services import SERVERS, annotated, items, judge_at

pytestmark = pytest.mark.usefixtures("batching")
CLIENTS: dict[str, type[Any]] = {"gemini": GeminiClient, "openai": OpenAIClient}
JOB = {"gemini": "batches/rehearsal0", "openai": "batch_rehearsal0"}
"""The services' names of a first job."""


@pytest.fixture(params=CLIENTS)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(service: str) -> Iterator[Any]:
    with SERVERS[service]() as running:
        yield running
        assert running.complaints == []


def test_submit_leave_collect(server: Server, tmp_path: Path, journal: Journal) -> None:
    said = left(server, tmp_path, journal, batch_size=2)
    assert "5 requests submitted in 3 jobs (3 of them now); 0 of 5 are answered and kept" in said
    assert "Rerun the same command later to collect them" in said
    again = left(server, tmp_path, journal, batch_size=2)
    assert "5 requests submitted in 3 jobs (0 of them now)" in again
    assert len(server.batches) == 3
    server.finish_batches()
    found = asked(server, tmp_path, journal, batch_size=2)
    assert len(server.batches) == 3
    assert server.schemas == 5
    for one, other in zip(found, one_by_one(tmp_path), strict=True):
        assert (one.prompt_id, one.ratings, one.presentation_order, one.parser) == (
            *(other.prompt_id, other.ratings, other.presentation_order, other.parser),
        )
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == 5
    assert asked(server, tmp_path, journal) == found
    assert len(server.batches) == 3


def test_a_job_holds_so_many_bytes(
    server: Server, tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_at(server, service_of(server), batch=True)
    request = rating_request(items(tmp_path, 1)[0], tmp_path, judge)
    client = CLIENTS[service_of(server)]
    size = client(judge).pack_request(request).size
    image = len((tmp_path / "coffee.png").read_bytes())
    assert image * 4 / 3 + len(request.text) < size < image * 4 / 3 + len(request.text) + 4000
    monkeypatch.setattr(client, "largest_batch", int(size * 2.5))
    assert "5 requests submitted in 3 jobs" in left(server, tmp_path, journal)


def test_a_batch_costs_half_and_counts_for_no_day(server: Server, tmp_path: Path, journal: Journal) -> None:
    limits = {"requests_per_day": 2}
    left(server, tmp_path, journal, limits=limits)
    server.finish_batches()
    asked(server, tmp_path, journal, limits=limits)
    kept = rows(journal, "tokens_in, tokens_out, cost, outcome, purpose, reply, batch")
    assert len(kept) == 5
    for tokens_in, tokens_out, cost, *others in kept:
        assert tokens_out > 100
        assert cost == pytest.approx((tokens_in + 10 * tokens_out) / 2e6)
        assert others[:2] == ["answered", "annotate"]
        assert "ratings" in others[2]
        assert others[3] == JOB[service_of(server)]
    more = annotated(server, service_of(server), tmp_path, 7, journal, limits=limits)  # the day has room for two
    assert len(more) == 7
    assert server.answered.total() == 7


def test_what_was_answered_one_by_one_is_not_submitted_and_the_other_way_round(
    server: Server, tmp_path: Path, journal: Journal
) -> None:
    first = annotated(server, service_of(server), tmp_path, 3, journal)
    assert "2 requests submitted in 1 job (1 of them now); 3 of 5" in left(server, tmp_path, journal)
    server.finish_batches()
    found = asked(server, tmp_path, journal)
    assert found[:3] == first
    assert annotated(server, service_of(server), tmp_path, 5, journal) == found
    assert set(server.answered.values()) == {1}


def test_asking_one_by_one_what_a_job_asks_is_warned_of(
    server: Server, tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    left(server, tmp_path, journal)
    assert len(annotated(server, service_of(server), tmp_path, 5, journal)) == 5
    assert "5 requests are in batches of this judge" in capsys.readouterr().out


class Killed(BaseException):
    """Death of the process."""


def test_a_job_whose_name_was_not_noted_is_adopted(
    server: Server, tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = CLIENTS[service_of(server)]
    create = client.create_batch

    def dies(self: Any, *arguments: Any) -> str:
        name = create(self, *arguments)
        if len(server.batches) == 1:
            raise Killed(name)
        return name

    monkeypatch.setattr(client, "create_batch", dies)
    with pytest.raises(Killed):
        asked(server, tmp_path, journal, batch_size=2)
    assert rows(journal, "name, state", "batches") == [(None, "running")]
    judge = judge_at(server, service_of(server))
    stranger = client(judge)  # other jobs of the account, on the first page
    for number in range(3):
        request = rating_request(items(tmp_path, 9)[8], tmp_path, judge)
        create(stranger, f"another {number}", [stranger.pack_request(request)])
    said = left(server, tmp_path, journal, batch_size=2)
    assert "5 requests submitted in 3 jobs (2 of them now)" in said
    assert len(server.batches) == 6
    server.finish_batches()
    assert all(isinstance(one, Annotation) for one in asked(server, tmp_path, journal))
    assert sorted(server.answered.values()) == [1, 1, 1, 1, 1, 3]


def test_a_job_that_was_not_created_is_forgotten(
    server: Server, tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = CLIENTS[service_of(server)]
    with monkeypatch.context() as dying:

        def dies(*arguments: Any) -> str:
            raise Killed

        dying.setattr(client, "create_batch", dies)
        with pytest.raises(Killed):
            asked(server, tmp_path, journal)
        dying.setattr(client, "create_batch", lambda *arguments: _raise(Temporary("server error 503")))
        said = left(server, tmp_path, journal)
        assert "0 requests submitted in 0 jobs" in said
        assert "5 not submitted (the judge takes no job now: server error 503)" in said
    assert len(rows(journal, "name", "batches")) == 1
    assert "5 requests submitted in 1 job (1 of them now)" in left(server, tmp_path, journal)
    assert rows(journal, "name", "batches") == [(JOB[service_of(server)],)]


def _raise(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize("state", ["FAILED", "EXPIRED", "CANCELLED"])
def test_what_a_lost_job_asked_is_open_again(
    server: Server, tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    left(server, tmp_path, journal)
    server.finish_batches(state)
    assert "5 requests submitted in 1 job (1 of them now)" in left(server, tmp_path, journal)
    said = capsys.readouterr().out
    assert f"job {JOB[service_of(server)]}: " in said
    assert state.lower() in said
    assert "5 of its 5 requests are open again" in said
    first, second = (found for (found,) in rows(journal, "state", "batches"))
    assert first.startswith(state.lower())
    assert second == "running"
    server.finish_batches()
    assert len(asked(server, tmp_path, journal)) == 5
    assert rows(journal, "outcome")[-5:] == [("answered",)] * 5


def test_a_job_that_the_service_knows_no_more(
    server: Server, tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    left(server, tmp_path, journal)
    server.batches.clear()
    assert "(1 of them now)" in left(server, tmp_path, journal)
    assert "unknown to the service; 5 of its 5 requests are open again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("service", "fault", "reason", "error"),
    [
        ("gemini", "recitation", "recitation", "error 8 in a job"),
        ("openai", "prompt_blocked", "prompt_blocked_content_filter", "error 429 in a job"),
    ],
)
def test_an_error_in_a_responses_place_opens_that_request(
    tmp_path: Path, journal: Journal, service: str, fault: str, reason: str, error: str
) -> None:
    server: Any
    with SERVERS[service](f"good:1,throttled:1,{fault}:1,image_refused:1") as server:
        left(server, tmp_path, journal)
        server.finish_batches()
        assert "1 request submitted in 1 job (1 of them now); 4 of 5" in left(server, tmp_path, journal)
        server.finish_batches()
        found = asked(server, tmp_path, journal)
    assert [one for one in found if isinstance(one, Unscored)] == [
        *(Unscored("p2", reason), Unscored("p3", "image_refused")),
    ]
    kept = rows(journal, "record_id, outcome, reason")
    (failed,) = [one for one in kept if one[1] == "failed"]
    assert failed[0] == "p1"
    assert failed[2].startswith(error)
    assert len(kept) == 6
    assert set(server.answered.values()) == {1}


def test_an_unread_reply_is_reminded_once(tmp_path: Path, journal: Journal, service: str) -> None:
    server: Any
    with SERVERS[service]("empty:1,wrong_count:1,good:3,empty:1") as server:
        left(server, tmp_path, journal)
        server.finish_batches()
        assert "2 requests submitted in 1 job (1 of them now); 3 of 5" in left(server, tmp_path, journal)
        texts = texts_of(server, 1)
        assert "could not be read (empty)" in texts[0]
        assert "could not be read (wrong_count)" in texts[1]
        server.finish_batches()
        first, second, *_ = asked(server, tmp_path, journal)
        assert first == Unscored("p0", "empty")
        assert second.parser == "schema, asked twice"
        assert len(server.batches) == 2
    kept = rows(journal, "record_id, outcome, reminded")
    assert kept[5:] == [("p0", "answered", 1), ("p1", "answered", 1)]


def texts_of(server: Server, number: int) -> list[str]:
    """Texts of the requests of a job, without the image that stands before each."""
    job = [*server.batches.values()][number]
    if isinstance(server, FakeOpenAI):
        lines = server.files[job["input_file_id"]].splitlines()
        return [json.loads(line)["body"]["messages"][0]["content"][1]["text"] for line in lines]
    requests, _, _ = job["asked"]
    return [entry["request"]["contents"][0]["parts"][1]["text"] for entry in requests]


def test_an_odd_reply_in_a_job_does_not_lose_the_others(tmp_path: Path, journal: Journal) -> None:
    class Odd(FakeGemini):
        def _finish(self, name: str, state: str = "SUCCEEDED") -> None:
            super()._finish(name, state)
            if name == "batches/rehearsal0":
                responses = self.batches[name]["response"]["inlinedResponses"]["inlinedResponses"]
                responses[1]["response"] = {"candidates": [{"content": {"parts": [{"text": 3}]}}]}

    with serving(Odd()) as server:
        left(server, tmp_path, journal)
        server.finish_batches()
        assert "4 of 5 are answered and kept" in left(server, tmp_path, journal)
        server.finish_batches()
        assert all(isinstance(one, Annotation) for one in asked(server, tmp_path, journal))
    outcomes = [outcome for (outcome,) in rows(journal, "outcome")]
    assert (outcomes.count("answered"), outcomes.count("failed")) == (5, 1)
    (odd,) = [reply for outcome, reply in rows(journal, "outcome, reply") if outcome == "failed"]
    assert '"text": 3' in odd


def test_each_model_collects_its_own_jobs(server: Server, tmp_path: Path, journal: Journal) -> None:
    """Two judges of one service have an account in common, and other prices."""
    other: dict[str, Any] = {"model": "larger", "price": PriceConfig(2.0, 20.0)}
    left(server, tmp_path, journal)
    left(server, tmp_path, journal, **other)
    server.finish_batches()
    asked(server, tmp_path, journal)  # submitted nothing more, and left the other's job
    assert {model for (model,) in rows(journal, "model")} == {"some-model"}
    asked(server, tmp_path, journal, **other)
    costs = {model: cost for model, cost, _ in rows(journal, "model, cost, id")}
    assert costs["larger"] == pytest.approx(2 * costs["some-model"])
