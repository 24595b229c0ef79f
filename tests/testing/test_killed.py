"""Kills during annotation: no answer is lost, and only calls in flight are paid for twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from mmdpo.clients.journal import journal
from mmdpo.testing.fake_gemini import fake_gemini
from mmdpo.testing.server import FakeServer
from tests.support.program import Program, start_program
from tests.testing.services import annotated

PROMPTS = 60
PROGRAM = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from mmdpo.clients.journal import journal
from tests.testing.services import annotated
url, folder, concurrency = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
with journal(folder / "j.sqlite") as opened:
    server = SimpleNamespace(url=url)
    found = annotated(server, "gemini", folder, 60, opened, limits={"concurrency": concurrency})
(folder / "found.txt").write_text(repr([(one.prompt_id, one.ratings, one.presentation_order) for one in found]))
"""

pytestmark = pytest.mark.slow


def annotate(server: FakeServer, folder: Path, concurrency: int) -> Program:
    return start_program("-c", PROGRAM, server.url, str(folder), str(concurrency))


def until(condition: Callable[[], bool], process: Program) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"it ended by itself ({process.returncode})"
        assert time.monotonic() < limit, "there was no progress"
        time.sleep(0.002)


def kill(process: Program) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL


def rows(folder: Path) -> int:
    with journal(folder / "j.sqlite") as opened:
        return int(opened._rows.execute("SELECT count(DISTINCT key) FROM attempts").fetchone()[0])


def finish(server: FakeServer, folder: Path, concurrency: int) -> None:
    assert annotate(server, folder, concurrency).wait(120) == 0


def undisturbed(folder: Path) -> str:
    with fake_gemini() as server:
        found = annotated(server, "gemini", folder, PROMPTS)
    return repr([(one.prompt_id, one.ratings, one.presentation_order) for one in found])


@pytest.mark.long
def test_killed_between_two_calls_no_prompt_is_answered_twice(tmp_path: Path) -> None:
    """The server holds the next call, so each answer before it is in the journal when the kill comes."""
    with fake_gemini() as server:
        for answered in (1, 24):
            server.hold(answered)
            process = annotate(server, tmp_path, 1)
            until(server.held.is_set, process)
            kill(process)
            server.let_go()
            assert rows(tmp_path) == server.answered.total()
        finish(server, tmp_path, 1)
    assert (tmp_path / "found.txt").read_text() == undisturbed(tmp_path)
    assert list(server.answered.values()) == [1] * PROMPTS
    assert server.seen == {"good": PROMPTS}


@pytest.mark.parametrize(
    "concurrency", [pytest.param(1, marks=pytest.mark.exhaustive), pytest.param(4, marks=pytest.mark.long)]
)
def test_killed_at_any_moment_at_most_the_calls_in_flight_are_asked_twice(tmp_path: Path, concurrency: int) -> None:
    rng, kills = Random(concurrency), 3
    with fake_gemini("empty:20%,slow:100%", slow_seconds=0.02) as server:
        for _ in range(kills):
            goal = server.answered.total() + rng.randint(5, 12)
            process = annotate(server, tmp_path, concurrency)
            until(lambda goal=goal: server.answered.total() >= goal, process)
            time.sleep(rng.uniform(0, 0.03))
            kill(process)
            assert rows(tmp_path) >= len(server.answered) - kills * concurrency
        finish(server, tmp_path, concurrency)
    assert len(server.answered) == PROMPTS
    assert server.seen["empty"] > 3
    assert server.answered.total() - PROMPTS <= kills * concurrency
    assert (tmp_path / "found.txt").read_text() == undisturbed(tmp_path)
