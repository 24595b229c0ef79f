"""A key in the environment, no proxy, and waits that are recorded instead of waited."""

import pytest

from mmdpo.clients import runner as asking
from tests.testing.services import KEY, VARIABLE


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the waits instead of waiting."""
    waits: list[float] = []
    monkeypatch.setattr(asking.RequestRunner.__init__, "__defaults__", (waits.append,))
    return waits
