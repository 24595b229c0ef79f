"""Successive halving on a real SLURM, with nobody waiting and a kill at each rung."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from mmdpo.files import file_fingerprint
from tests.slurm.lines import SMALL, Lines
from tests.support.slurm.cluster import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.exhaustive, pytest.mark.timeout(900)]

LINE = (
    *SMALL,
    "bench.items=30",
    "train.num_train_epochs=8",
    "train.logging_steps=1",
    "model.before_visual_tuning=null",
)
GRID = ("lr=1e-3,3e-3,5e-2", "search=halving", "search.max_loss=9")


def test_each_rung_is_decided_by_a_job_although_one_is_killed_at_each(slurm: Cluster, tmp_path: Path):
    lines = Lines(slurm, tmp_path / "halved")
    lines.launch(*LINE, *GRID, "cluster.wait=false")
    _kill_when_running(lines, "lr0.003-", rung=0)
    _kill_when_running(lines, "decide", rung=0)
    _kill_when_running(lines, "-lr", rung=1)
    slurm.wait_for(lambda: len(_submissions(lines)) == 3 and all(lines.jobs()), 120, "the last round")
    lines.wait_for_end()
    states = {point.name: lines.status(point.name) for point in lines.points()}
    assert sorted(one["state"] for one in states.values()) == ["done", "done", "pruned", "pruned"]
    assert [len(_names(folder)) for folder in _submissions(lines)] == [4, 2, 1]
    killed = [entry["cause"] for one in states.values() for entry in one["interruptions"]]
    assert killed == ["killed", "killed"]
    decided = json.loads((lines.folder / "search.json").read_text())["decisions"]
    assert [decision["share"] for decision in decided] == [0.25, 0.5]
    again = lines.launch(*LINE, *GRID, "cluster.wait=false")
    assert "0 queued or running, 0 to submit" in again.stdout
    assert lines.mmdpo("status", str(lines.folder), check=False).stdout.count("pruned") >= 2
    (survivor,) = [name for name in _names(_submissions(lines)[2]) if name.startswith("dpo")]
    alone = Lines(slurm, tmp_path / "alone")
    alone.launch(*LINE, f"lr={survivor.split('-lr')[1].split('-')[0]}", "bench.split=dev")  # as halving measures
    assert lines.losses(survivor) == alone.losses(survivor)
    adapters = [one.folder / survivor / "adapter" / "adapter_model.safetensors" for one in (lines, alone)]
    assert file_fingerprint(adapters[0]) == file_fingerprint(adapters[1])


def _kill_when_running(lines: Lines, piece: str, rung: int) -> None:
    """Kill the process of a point, or of the deciding job, in the submission of a rung."""

    def running() -> int | None:
        folders = _submissions(lines)
        if len(folders) <= rung:
            return None
        tasks = [folders[rung] / "decide"] if piece == "decide" else [lines.folder / n for n in _names(folders[rung])]
        jobs = [part["job"] for part in json.loads((folders[rung] / "submission.json").read_text())["parts"]]
        for task in tasks:
            if piece in str(task) and (task / "status.json").exists():
                found = json.loads((task / "status.json").read_text())
                if found["state"] == "running" and found["job_id"].partition("_")[0] in jobs:
                    return int(found["pid"])
        return None

    os.kill(lines.cluster.wait_for(running, 120, f"{piece} at rung {rung}"), signal.SIGKILL)


def _submissions(lines: Lines) -> list[Path]:
    return [file.parent for file in sorted(lines.folder.glob("jobs/*/submission.json"))]


def _names(submission: Path) -> list[str]:
    return [json.loads(line)["name"] for line in (submission / "tasks.jsonl").open()]
