"""The stand-in for an engine, as a fixture."""

import pytest

from tests.support.engines import ENGINE


@pytest.fixture
def generation():
    ENGINE.reset()
    yield ENGINE
    ENGINE.reset()
