"""Rounds as a command: killed at any moment, they end as if undisturbed, and no rating is paid for twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from mmdpo.files import file_fingerprint, read_json
from mmdpo.testing.fake_openai import fake_openai
from mmdpo.testing.server import FakeServer
from tests.support.program import launch, start_program

SMALL = ["data.prompts=24", "data.sampling.max_new_tokens=12", "bench.items=4", "bench.tasks=[text]", "tracking=none"]
SMALL += ["bench.resamples=100", "cluster.threads=1", "model.before_visual_tuning=null", "train.warmup_ratio=0"]
SMALL += ["data.sampling.batch_size=4", "train.save_steps=1", "train.per_device_train_batch_size=4", "pairs.margin=1"]

pytestmark = pytest.mark.slow


def line(server: FakeServer, out: Path, rounds: int) -> list[str]:
    service = ["judge=openai", "judge.model=rehearsal", f"judge.base_url={server.url}", "judge.limits.concurrency=1"]
    return ["-m", *SMALL, f"rounds={rounds}", "seed=0,1", *service, f"out={out}"]


def environment(folder: Path) -> dict[str, str]:
    return {"MMDPO_CACHE": str(folder / "cache"), "OPENAI_API_KEY": "key-for-tests"}


def contents(out: Path, cache: Path) -> dict[str, object]:
    """Return what a chain has made: adapters, scores and ratings."""
    found: dict[str, object] = {}
    for result in sorted(out.glob("nano/*/result.json")):
        point = result.parent
        found[point.name] = read_json(result)["scores"]
        if (point / "adapter").exists():
            found[f"{point.name} adapter"] = file_fingerprint(point / "adapter" / "adapter_model.safetensors", 64)
    ratings = sorted(file_fingerprint(file) for file in cache.glob("annotations/[!.]*/annotations.jsonl"))
    return {**found, "ratings": ratings}


def stored(folder: Path) -> int:
    """Count the files that finished work has left."""
    patterns = ("out/nano/*/*.json", "out/nano/*/checkpoints/*", "out/nano/*/answers/*", "cache/*/*/card.json")
    return sum(len(list(folder.glob(pattern))) for pattern in patterns)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize(
    ("rounds", "kills"),
    [pytest.param(2, 2, marks=pytest.mark.exhaustive), pytest.param(3, 50, marks=pytest.mark.exhaustive)],
)
@pytest.mark.timeout(3600)
def test_killed_at_any_moment_rounds_end_as_if_undisturbed(tmp_path: Path, rounds: int, kills: int) -> None:
    folder, rng, killed = tmp_path / "killed", Random(kills), 0
    with fake_openai() as server:
        began = time.monotonic()
        calm = launch(*line(server, tmp_path / "out", rounds), **environment(tmp_path))
        seconds = time.monotonic() - began
        assert calm.returncode == 0, calm.stdout + calm.stderr
        expected, asked = contents(tmp_path / "out", tmp_path / "cache"), server.answered.copy()
        server.answered.clear()
        command = line(server, folder / "out", rounds)
        longest = seconds / kills
        for _ in range(kills):
            before, commands = stored(folder), folder / "out" / "nano" / "commands.jsonl"
            process = start_program("launch.py", *command, environment={**os.environ, **environment(folder)})
            begun = lines_of(commands)
            while process.poll() is None and lines_of(commands) == begun:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, longest))
            process.kill()
            killed += process.wait(30) == -signal.SIGKILL
            longest *= 0.7 if stored(folder) > before else 1.3  # so that the kills fall all along the way
        done = launch(*command, **environment(folder))
        assert done.returncode == 0, done.stdout + done.stderr
        assert contents(folder / "out", folder / "cache") == expected
        assert killed
        assert server.answered.keys() == asked.keys()
        assert server.answered.total() - asked.total() <= killed  # a call that was on its way when the kill came
    with (folder / "out" / "nano" / "summary.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["role"] == "trained"]
    assert sorted(json.loads(row["round"]) for row in rows) == sorted([*range(1, rounds + 1)] * 2)
