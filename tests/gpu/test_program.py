"""The program on a GPU, as a user runs it: sampling, judging, training and evaluation of the miniature."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.program import program

COMMAND = ("launch.py", "data.prompts=64", "bench.items=16", "train.num_train_epochs=2", "study=gpu", "tracking=none")


def test_a_point_is_finished_and_repeated_for_nothing(device: str, tmp_path: Path) -> None:
    line = (*COMMAND, f"out={tmp_path / 'out'}")
    done = program(*line, real=device == "cuda", MMDPO_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (tmp_path / "out" / "gpu").glob("dpo-*")
    result = json.loads((folder / "result.json").read_text())
    assert {"text", "visual", "text_noisy", "presence"} <= result["scores"].keys()
    assert all(score["unscored"] == 0 for name, score in result["scores"].items() if "/" not in name)
    metrics = json.loads((folder / "training.json").read_text())["metrics"]
    assert metrics["peak_memory_gib"] > 0
    assert metrics["rewards/margins"] != 0
