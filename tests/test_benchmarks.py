"""All ten benchmarks on the miniature's LLaVA, from made-up files and with a rehearsal judge, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from mmdpo.testing.fake_openai import fake_openai
from tests.support.benchmarks import TASKS, write_benchmarks
from tests.support.program import completed, start_program

KEY = "sk-rehearsal-0123456789abcdef"
JUDGED = {"mt_bench", "mt_bench_noisy", "alpaca_eval", "mm_vet", "llava_bench", "mmhal"}


def line(root: Path, url: str, *more: str) -> list[str]:
    return [
        *("launch.py", "data_scale=0", "model.before_visual_tuning=null", "tracking=none", "bench=paper"),
        *(f"bench.tasks=[{','.join(TASKS)}]", f"bench.root={root / 'bench'}", f"out={root / 'out'}", "study=all"),
        *("bench.max_new_tokens=8", "bench.judge=openai", "bench.judge.model=rehearsal"),
        *(f"bench.judge.base_url={url}", "bench.judge.limits.concurrency=2", "bench.resamples=50", *more),
    ]


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "MMDPO_CACHE": str(root / "cache"), "OPENAI_API_KEY": KEY}


def result(root: Path) -> dict[str, Any]:
    (path,) = root.glob("out/all/*/result.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.long
def test_all_benchmarks_killed_while_judged_and_finished_and_repeated_for_nothing(tmp_path: Path) -> None:
    write_benchmarks(tmp_path / "bench")
    with fake_openai() as server:
        server.hold(5)
        killed = start_program(*line(tmp_path, server.url), environment=environment(tmp_path))
        limit = time.monotonic() + 120
        while not server.held.is_set():
            assert killed.poll() is None, killed.communicate()
            assert time.monotonic() < limit
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(30) == -signal.SIGKILL
        server.let_go()
        (folder,) = {path.parent for path in tmp_path.glob("out/all/*/answers")}
        answers = {path.name: path.stat().st_mtime_ns for path in (folder / "answers").glob("*.jsonl")}
        assert {name.removesuffix(".jsonl") for name in answers} == set(TASKS)

        done = completed(start_program(*line(tmp_path, server.url), environment=environment(tmp_path)))
        assert done.returncode == 0, done.stdout + done.stderr
        assert {path.name: path.stat().st_mtime_ns for path in (folder / "answers").glob("*.jsonl")} == answers
        paid = server.answered.total()
        assert paid - len(server.answered) <= 2  # the calls in flight when it was killed
        again = completed(start_program(*line(tmp_path, server.url), environment=environment(tmp_path)))
        assert "1 done, 0 to run" in again.stdout
        assert server.answered.total() == paid
        assert server.complaints == []
    found = result(tmp_path)
    assert {name for name in found["scores"] if "/" not in name} == set(TASKS)
    assert all(found["scores"][name]["unscored"] == 0 for name in TASKS)
    assert {name.partition("/")[0] for name in found["upstream"]} >= set(TASKS) - {"amber"}
    assert {name for name, label in found["labels"].items() if label["served"] == ["rehearsal-001"]} == JUDGED
    assert {"mt_bench_noisy/minus_mt_bench", "pope/random/f1", "mmbench/vanilla"} <= found["scores"].keys()
    upstream = {path.relative_to(folder / "answers" / "upstream").parts[0] for path in folder.rglob("upstream/*/*")}
    assert upstream >= set(TASKS) - {"amber"}
    (tmp_path / "bench" / "mm_vet" / "images" / "v1_0.png").write_bytes(b"no image")
    refused = completed(start_program(*line(tmp_path, "http://127.0.0.1:9/v1"), environment=environment(tmp_path)))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "v1_0.png" in refused.stdout + refused.stderr
