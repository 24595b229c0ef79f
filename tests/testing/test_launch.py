"""The command that a rehearsal server prints: a whole stage by launch.py, with faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.files import read_json
from mmdpo.records import Annotation, read_records
from mmdpo.testing.fake_gemini import LINE, fake_gemini
from mmdpo.testing.server import FakeServer
from tests.support.program import launch
from tests.testing.services import KEY

pytestmark = [pytest.mark.slow, pytest.mark.long]
COUNT = 24


def typed(server: FakeServer, out: Path, *more: str, **environment: str) -> Any:
    """Run the command with a small data set and no waiting."""
    words = LINE.format(url=server.url).split()[2:]
    return launch(*words, f"data.prompts={COUNT}", f"out={out}", *more, GEMINI_API_KEY=KEY, **environment)


def test_the_line_annotates(tmp_path: Path) -> None:
    cache = {"MMDPO_CACHE": str(tmp_path / "cache")}
    freely = "judge.limits.requests_per_minute=null", "judge.limits.tokens_per_minute=null"
    with fake_gemini("good:5,throttled:1,fenced:1,recitation:1,good:6,daily_quota:1") as server:
        for stage in ("prompts", "sample"):
            made = typed(server, tmp_path, f"stage={stage}", **cache)
            assert made.returncode == 0, made.stderr
        stopped = typed(server, tmp_path, *freely, **cache)
        assert stopped.returncode == 75
        assert "daily quota is used up" in stopped.stdout + stopped.stderr
        server.new_day()
        finished = typed(server, tmp_path, *freely, **cache)
        assert finished.returncode == 0, finished.stderr
    assert "1 of 24 prompts are unscored (1 recitation)" in finished.stdout
    (folder,) = {path.parent for path in (tmp_path / "cache").rglob("annotations.jsonl")}
    assert len(list(read_records(folder / "annotations.jsonl", Annotation))) == COUNT - 1
    assert read_json(folder / "card.json")["facts"]["read_by"] == {"schema": COUNT - 2, "fenced": 1}
    assert read_json(folder / "report.json")["cost_so_far"] > 0
    assert server.complaints == []
    assert set(server.answered.values()) == {1}
    everything = stopped.stdout + stopped.stderr + finished.stdout + finished.stderr
    assert KEY not in everything
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
