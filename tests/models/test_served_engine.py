"""Answers of a server to the questions of benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.schema import BenchConfig, ServerConfig
from mmdpo.errors import Stopped, UserError
from mmdpo.models import served
from mmdpo.models.requests import GenerationRequest
from mmdpo.models.served_engine import ServedEngine
from mmdpo.records import Completion, Prompt
from mmdpo.seeds import answer_seed
from mmdpo.testing.fake_openai import FakeOpenAI, fake_openai

PROMPTS = [Prompt(f"p{number}", f"What is {number}?") for number in range(6)]


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(served, "MAX_ATTEMPTS", 3)


def answers(server: FakeOpenAI, requests: list[GenerationRequest], concurrency: int = 1) -> dict[int, Completion]:
    bench = BenchConfig(server=ServerConfig(server.url, concurrency=concurrency), max_new_tokens=7, seed=5)
    engine = ServedEngine(bench, "point")
    try:
        return dict(engine.answer(requests, Path()))
    finally:
        engine.close()


def test_an_answer_depends_on_its_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    requests = [GenerationRequest(one, 0.7 if index % 2 else 0.0, 9 if index else None)
                for index, one in enumerate(PROMPTS)]  # fmt: skip
    with fake_openai(served=["point"]) as server:
        reply = FakeOpenAI.reply
        monkeypatch.setattr(FakeOpenAI, "reply", lambda self, call: (sent.append(call.body), reply(self, call))[1])
        one_by_one = answers(server, requests)
        monkeypatch.undo()
        assert server.complaints == []
    with fake_openai("throttled:1,busy:1,dropped:1", served=["point"]) as server:
        assert answers(server, requests, concurrency=4) == one_by_one
    assert [one_by_one[index].prompt_id for index in range(6)] == [one.id for one in PROMPTS]
    assert {one.finish_reason for one in one_by_one.values()} == {"stop"}
    assert [one["temperature"] for one in sent] == [0, 0.7] * 3
    assert [one["max_tokens"] for one in sent] == [7, *[9] * 5]
    assert [one["seed"] for one in sent] == [answer_seed(5, one.id, 0) % served.SEEDS for one in PROMPTS]


def test_declined_and_cut_answers_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_openai("content_filter:1,length:2") as server:
        found = answers(server, [GenerationRequest(one) for one in PROMPTS])
    assert sorted(one.finish_reason for one in found.values()) == ["declined", "length", "length", *["stop"] * 3]
    assert [one.text for one in found.values() if one.finish_reason == "declined"] == [""]
    told = capsys.readouterr().out
    assert "1 of 6 answers were declined" in told
    assert "2 of 6 answers reached the limit" in told


def test_answers_come_before_a_server_is_gone_and_the_run_stops() -> None:
    with fake_openai("good:2,busy:1000") as server:
        engine = ServedEngine(BenchConfig(server=ServerConfig(server.url, concurrency=1)), "point")
        found = engine.answer([GenerationRequest(one) for one in PROMPTS], Path())
        assert [next(found)[0], next(found)[0]] == [0, 1]
        with pytest.raises(Stopped, match=r"bench\.server\.base_url="):
            next(found)
        engine.close()


def test_a_name_that_the_server_does_not_have_is_shown() -> None:
    with fake_openai(served=["other"]) as server, pytest.raises(UserError, match=r"bench\.server\.model=point"):
        answers(server, [GenerationRequest(PROMPTS[0])])


def test_a_server_that_dies_is_not_waited_for(tmp_path: Path) -> None:
    from mmdpo.models.server_process import ServerProcess

    process = ServerProcess("bench.server", ["sh", "-c", "echo out of memory; exit 1"], 9, tmp_path / "server.log")
    process._guard.wait(10)
    engine = ServedEngine(BenchConfig(), "point", process)
    with pytest.raises(UserError, match="out of memory"):
        [*engine.answer([GenerationRequest(PROMPTS[0])], Path())]
    engine.close()
