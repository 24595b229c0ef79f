"""The rehearsal server with the API of OpenAI: generation, and refused requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from mmdpo.judge.rubrics.helpsteer_1 import RUBRIC
from mmdpo.testing.fake_openai import FakeOpenAI, fake_openai


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as running:
        yield running


def said(server: FakeOpenAI, text: Any = "What is it?", **more: Any) -> list[str]:
    """The answers to one question."""
    client = openai.OpenAI(api_key="k", base_url=server.url, max_retries=0)
    messages: Any = [{"role": "user", "content": text}]
    reply = client.chat.completions.create(model="m", messages=messages, **more)
    assert reply.usage.completion_tokens > 0
    return [choice.message.content for choice in reply.choices]


def test_n_answers_differ_and_a_seed_repeats_them(server: FakeOpenAI) -> None:
    first = said(server, n=4, seed=1)
    assert len(set(first)) == 4
    assert first == said(server, n=4, seed=1)
    assert first != said(server, n=4, seed=2)
    assert first != said(server, "Where is it?", n=4, seed=1)
    assert said(server, n=1, seed=1) == first[:1]
    assert server.complaints == []


def test_without_a_temperature_there_is_one_answer(server: FakeOpenAI) -> None:
    assert len({*said(server, n=3, seed=1, temperature=0), *said(server, seed=2, temperature=0)}) == 1


def test_the_models_are_listed(server: FakeOpenAI) -> None:
    client = openai.OpenAI(api_key="k", base_url=server.url)
    assert [model.id for model in client.models.list()] == ["rehearsal"]


def test_a_model_that_is_not_served_is_unknown() -> None:
    with fake_openai(served=["base", "lora"]) as server:
        client = openai.OpenAI(api_key="k", base_url=server.url, max_retries=0)
        assert [model.id for model in client.models.list()] == ["base", "lora"]
        with pytest.raises(openai.NotFoundError, match="model"):
            said(server)


def form(count: int) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "ratings", "schema": RUBRIC.schema(count), "strict": True},
    }


@pytest.mark.parametrize(
    ("text", "more", "complaint"),
    [
        ("", {}, "there is no text"),
        ("a", {"n": 1000}, "n is not a number from 1 to 128"),
        ("a", {"response_format": form(2)}, "a schema of 2 ratings for 0 completions"),
        ("a", {"response_format": {"type": "json_schema", "json_schema": {}}}, "a schema has no ratings"),
        (
            [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,bm8="}},
            ],
            {},
            "an image cannot be read (UnidentifiedImageError)",
        ),
    ],
)
def test_a_wrong_request_is_refused_and_noted(
    server: FakeOpenAI, text: Any, more: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        said(server, text, **more)
    assert complaint in str(raised.value)
    assert server.complaints == [complaint]
    assert server.answered.total() == 0


def test_other_addresses_are_not_known(server: FakeOpenAI) -> None:
    client = openai.OpenAI(api_key="k", base_url=f"{server.url}/other", max_retries=0)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}])


def test_the_names_of_its_own_faults() -> None:
    with fake_openai("length:1,insufficient_quota:1") as server:
        assert len(said(server)[0]) < len(said_after(server))
        with pytest.raises(openai.RateLimitError) as raised:
            said(server)
        assert raised.value.code == "insufficient_quota"
        server.new_day()
        assert said(server)


def said_after(server: FakeOpenAI) -> str:
    """The whole answer, from a service without faults."""
    with fake_openai() as calm:
        return said(calm)[0]
