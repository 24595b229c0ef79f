"""Halving as a program: killed in and between its rungs, in one process and in several, it ends as if undisturbed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdpo.files import file_fingerprint, read_json
from tests.support.program import launch, start_program

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive, pytest.mark.timeout(1800)]

GRID = ["-m", "lr=1e-3,3e-3,5e-2", "search=halving", "search.max_loss=9", "tracking=none", "cluster.threads=1"]
GRID += ["data.prompts=80", "bench.items=30", "bench.tasks=[text]", "bench.resamples=100", "train.logging_steps=1"]
GRID += ["model.before_visual_tuning=null", "train.save_steps=2", "train.num_train_epochs=4"]
PARALLEL = ["cluster=local_parallel", "cluster.array_parallelism=2"]


def in_training(study: Path) -> bool:
    """Return whether a point trains to the first rung."""
    return any(not (file.parent / "rungs/0.25/training.json").exists() for file in study.glob("dpo*/metrics.jsonl"))


def in_measurement(study: Path) -> bool:
    """Return whether a point answers at the first rung."""
    rungs = [*study.glob("dpo*/rungs/0.25")]
    return any((rung / "answers").exists() and not (rung / "rung.json").exists() for rung in rungs)


def decided(study: Path) -> bool:
    """Return whether the first rung is decided."""
    return (study / "search.json").exists()


def in_second_rung(study: Path) -> bool:
    """Return whether a point trains or answers between the first decision and the second."""
    return any(study.glob("dpo*/rungs/0.5/adapter"))


def contents(study: Path) -> dict[str, object]:
    """Return what a halved study has made: decisions, adapters, losses and scores."""
    found: dict[str, object] = {"search": (study / "search.json").read_text()}
    for weights in study.glob("dpo*/**/adapter_model.safetensors"):
        if "checkpoints" not in weights.parts:
            found[str(weights.relative_to(study))] = file_fingerprint(weights)
    for metrics in study.glob("dpo*/metrics.jsonl"):
        found[metrics.parent.name] = [json.loads(line)["loss"] for line in metrics.read_text().splitlines()]
    for result in study.glob("*/result.json"):
        found[f"{result.parent.name} scores"] = read_json(result)["scores"]
    for rung in study.glob("dpo*/rungs/*/rung.json"):
        found[str(rung.relative_to(study))] = read_json(rung)["scores"]
    return found


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Return the contents of an undisturbed search in one process."""
    out = tmp_path_factory.mktemp("calm")
    done = launch(*GRID, f"out={out}", MMDPO_CACHE=str(out / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    return contents(out / "nano")


@pytest.mark.parametrize(
    ("cluster", "first", "second"), [([], signal.SIGKILL, signal.SIGTERM), (PARALLEL, signal.SIGTERM, signal.SIGKILL)]
)
def test_killed_in_and_between_rungs_halving_ends_as_if_undisturbed(
    cluster: list[str], first: signal.Signals, second: signal.Signals, calm: dict[str, object], tmp_path: Path
) -> None:
    moments: list[Callable[[Path], bool]] = [in_training, in_measurement, decided, in_second_rung]
    line = [*GRID, *cluster, f"out={tmp_path}"]
    variables = {"MMDPO_CACHE": str(tmp_path / "cache")}
    for moment, number in zip(moments, itertools.cycle((first, second)), strict=False):
        process = start_program("launch.py", *line, environment={**os.environ, **variables}, merge=True)
        while not moment(tmp_path / "nano"):
            assert process.poll() is None, process.output()
            time.sleep(0.005)
        os.killpg(process.pid, number)
        assert process.wait(90) == (-number if number is signal.SIGKILL else 128 + number)
        process.close()
    done = launch(*line, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(tmp_path / "nano") == calm
    again = launch(*line, **variables)
    assert "0 to run" in again.stdout
    assert contents(tmp_path / "nano") == calm
