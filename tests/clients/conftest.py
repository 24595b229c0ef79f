"""Fixtures for the tests of batches: a rehearsal server, a journal, and no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdpo.clients import batches
from mmdpo.clients.journal import Journal
from mmdpo.testing.fake_gemini import FakeGemini, fake_gemini
from tests.testing.services import KEY, VARIABLE


@pytest.fixture
def batching(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Set a key and no proxy, and record waits instead of waiting."""
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    waits: list[float] = []
    monkeypatch.setattr(batches.BatchRunner.__init__, "__defaults__", (waits.append,))
    return waits


@pytest.fixture
def server() -> Iterator[FakeGemini]:
    """A rehearsal server that must receive no invalid request."""
    with fake_gemini() as running:
        yield running
        assert running.complaints == []


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal in a file."""
    opened = Journal(tmp_path / "j.sqlite")
    yield opened
    opened.close()
