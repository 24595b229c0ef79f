"""A DPO step of a LLaVA on a GPU against stock TRL's: memory and positions; seconds are printed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.random_model import BENCHMARKS, benchmark

WIDTHS = (2048, 5504, 16, 8, 1024, 16)  # half of the 7B's, and 8 of its layers
SIDE = 8192  # of the matrices whose product shows what the device can do


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
def test_a_step_takes_less_than_stock_trls(device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = benchmark("dpo_step")
    shape = script.Shape(benchmark("random_llava").Widths(*WIDTHS), script.GPU.steps, script.GPU.batch)
    script.prepare(tmp_path, shape)
    flops = script.limits(tmp_path, True)

    def run(name: str) -> dict[str, Any]:
        command = [sys.executable, str(BENCHMARKS / "dpo_step.py"), name, str(tmp_path), "cuda"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    default, neither, ours = map(run, ("default", "neither", "ours"))
    step = {"default": default, "neither": neither, "ours": ours}
    seconds = {name: statistics.median(found["seconds"]) for name, found in step.items()}
    share = shape.batch * flops["ours"] / seconds["ours"] / product_flops()
    with capsys.disabled():
        for name, found in step.items():
            times = seconds[name] / seconds["ours"]
            print(
                f"\n{script.CONTENDERS[name]}: {seconds[name]:.3f} s, {times:.2f}x, {found['memory']:.1f} GiB", end=""
            )
        print(f"; mmdpo reaches {share:.0%} of a large matrix product's speed")
    assert ours["positions"] < 0.65 * neither["positions"]
    assert ours["memory"] < neither["memory"]


def product_flops() -> float:
    """Return the FLOPs per second of a product of large matrices in bfloat16."""
    import torch

    matrix = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
    taken = []
    for _ in range(5):
        torch.cuda.synchronize()
        began = time.perf_counter()
        matrix @ matrix
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return 2 * SIDE**3 / min(taken)
