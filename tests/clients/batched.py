"""Runs with judge.batch=true against a rehearsal server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.clients.journal import Journal
from mmdpo.config.schema import PriceConfig
from mmdpo.errors import Stopped
from mmdpo.testing.fake_gemini import FakeGemini, fake_gemini
from mmdpo.testing.fake_openai import FakeOpenAI
from tests.testing.services import annotated

Server = FakeGemini | FakeOpenAI
"""Rehearsal servers of the services that have batches."""


def service_of(server: Server) -> str:
    """Name of the client that uses the server."""
    return "openai" if isinstance(server, FakeOpenAI) else "gemini"


def asked(server: Server, folder: Path, journal: Journal, count: int = 5, **changes: Any) -> list[Any]:
    """Run the stage once."""
    changes = {"batch": True, "price": PriceConfig(1.0, 10.0), **changes}
    return annotated(server, service_of(server), folder, count, journal, **changes)


def left(server: Server, folder: Path, journal: Journal, count: int = 5, **changes: Any) -> str:
    """Run the stage, which has to wait; return its message."""
    with pytest.raises(Stopped) as stopped:
        asked(server, folder, journal, count, **changes)
    assert stopped.value.exit_code == 75
    return str(stopped.value)


def one_by_one(folder: Path, count: int = 5) -> list[Any]:
    """Run the stage without batches."""
    with fake_gemini() as calm:
        return annotated(calm, "gemini", folder, count)


def rows(journal: Journal, columns: str, table: str = "attempts") -> list[tuple[Any, ...]]:
    """Return columns of a journal."""
    return journal._rows.execute(f"SELECT {columns} FROM {table} ORDER BY id").fetchall()
