"""Training sets of all four methods from raw files with real pictures, with kills in between."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mmdpo.files import read_json
from mmdpo.testing.fake_gemini import fake_gemini
from tests.support.program import launch, start_program
from tests.support.raw_data import write_raw_data

pytestmark = pytest.mark.slow
EACH = 30
CALLS = 4
EARLY = (60_000, 120_000)  # bytes written when a stage is killed; a whole one writes 130,000
NO_LIMITS = [f"judge.limits.{name}=null" for name in ("requests_per_minute", "tokens_per_minute", "requests_per_day")]
PAPER = ["data=paper", f"data.sources.scigraphqa.count={EACH}", f"data.sources.lrv.count={EACH}"]
SAMPLING = ["data.sampling.max_new_tokens=24", "data.sampling.batch_size=8"]
STAGES = [
    *("stage=prompts", "stage=sample", "stage=annotate", "stage=build"),
    *("stage=build method=rejection_sampling", "stage=build method=steerlm"),
    *("stage=teacher method=sft", "stage=build method=sft"),
]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw_data(tmp_path_factory.mktemp("raw") / "data", EACH)


Kill = Callable[[list[str], dict[str, str]], None]


def run_all(data: list[str], cache: Path, raw: Path, kill: Kill) -> Any:
    """Run all stages with one server; `kill` disturbs each command before it is run to its end."""
    with fake_gemini("throttled:2,fenced:3,busy:1,prose:2") as server:
        environment = {"MMDPO_CACHE": str(cache), "MMDPO_DATA": str(raw), "GEMINI_API_KEY": "a-key"}
        service = ["judge=gemini", f"judge.base_url={server.url}", f"judge.limits.concurrency={CALLS}"]
        for stage in STAGES:
            line = [
                *stage.split(),
                *data,
                *service,
                *NO_LIMITS,
                *(SAMPLING if "method=sft" not in stage else ()),
            ]
            kill(line, environment)
            done = launch(*line, **environment)
            assert done.returncode == 0, done.stdout + done.stderr
        assert server.complaints == []
        return dict(server.answered)


def sets(cache: Path) -> dict[str, tuple[dict[str, int], bytes]]:
    """Return counts and bytes of each training set by what it trains on."""
    found = {}
    for card in (cache / "training_set").glob("[!.]*/card.json"):
        facts = read_json(card)["facts"]
        found[facts["train_on"]] = facts["counts"], (card.parent / "examples.jsonl").read_bytes()
    return found


def killed_once(rng: Random) -> Kill:
    """Kill each long stage once, when it has written some part of its answers to the cache."""

    def kill(line: list[str], environment: dict[str, str]) -> None:
        if line[0] not in ("stage=sample", "stage=annotate", "stage=teacher"):
            return
        cache = Path(environment["MMDPO_CACHE"])
        goal = written(cache) + rng.randint(*EARLY)
        process = start_program("launch.py", *line, environment={**os.environ, **environment})
        while written(cache) < goal:
            time.sleep(0.005)
            assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        assert process.wait(30) == -signal.SIGKILL

    return kill


def written(folder: Path) -> int:
    """Count the bytes of all files; those that vanish meanwhile are skipped."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PAPER, id="paper", marks=pytest.mark.long),
        pytest.param(["data=nano", "data.prompts=60"], id="nano", marks=pytest.mark.exhaustive),
    ],
)
def test_killed_on_the_way_it_ends_as_a_calm_run(data: list[str], tmp_path: Path, raw: Path) -> None:
    calm_answers = run_all(data, tmp_path / "calm", raw, lambda line, environment: None)
    answers = run_all(data, tmp_path / "killed", raw, killed_once(Random(7)))
    calm, killed = sets(tmp_path / "calm"), sets(tmp_path / "killed")
    assert calm.keys() == {"pairs", "teacher", "best_completion", "rated_completions"}
    prompts = 2 * EACH if data is PAPER else 60
    for counts, content in calm.values():
        assert counts["prompts"] == prompts
        assert content
    assert killed == calm
    assert answers.keys() == calm_answers.keys()
    assert sum(answers.values()) <= sum(calm_answers.values()) + 2 * CALLS  # in flight at the two kills
