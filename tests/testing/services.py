"""Judges that ask a rehearsal server, through the services' own libraries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mmdpo.clients.answers import Answer
from mmdpo.clients.journal import Journal
from mmdpo.config.schema import JudgeConfig, LimitsConfig
from mmdpo.judge.annotate import annotate
from mmdpo.judge.items import Item
from mmdpo.judge.judges import client_of
from mmdpo.judge.rating_request import rating_request
from mmdpo.records import Completion, Prompt
from mmdpo.testing.fake_gemini import fake_gemini
from mmdpo.testing.fake_openai import fake_openai
from mmdpo.testing.server import FakeServer
from tests.sources.photographs import photograph

KEY = "sk-rehearsal-0123456789abcdef"
VARIABLE = "REHEARSAL_KEY"
SERVERS: dict[str, Callable[..., AbstractContextManager[FakeServer]]] = {
    "gemini": fake_gemini,
    "gemini_legacy": fake_gemini,
    "openai": fake_openai,
}


def judge_at(server: FakeServer, name: str, **changes: Any) -> JudgeConfig:
    """A judge that asks the server; limits may be among the changes."""
    limits = LimitsConfig(**changes.pop("limits", {}))
    changes = {"model": "some-model", "base_url": server.url, "api_key": [VARIABLE], **changes}
    return JudgeConfig(name, name, limits=limits, **changes)


def items(folder: Path, count: int) -> list[Item]:
    """Prompts on a photograph, each with completions of several lengths."""
    picture = folder / "coffee.png"
    if not picture.exists():
        photograph("coffee.png", 64).save(picture)
    return [
        (
            Prompt(f"p{number}", f"What is in picture {number}?", images=(picture.name,)),
            [
                Completion(f"p{number}", index, " ".join(["cup"] * length))
                for index, length in enumerate((1, 2 + number % 3, 6, 11))
            ],
        )
        for number in range(count)
    ]


def ask(server: FakeServer, name: str, folder: Path, **changes: Any) -> Answer:
    """One call by the client alone."""
    judge = judge_at(server, name, **changes)
    return client_of(judge).ask(rating_request(items(folder, 1)[0], folder, judge))


def annotated(
    server: FakeServer, name: str, folder: Path, count: int, journal: Journal | None = None, **changes: Any
) -> list[Any]:
    """Annotate some items."""
    judge, asked = judge_at(server, name, **changes), items(folder, count)
    return list(annotate(lambda: asked, count, folder, judge, client_of(judge), journal or Journal(None)))
