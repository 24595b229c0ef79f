"""Training on a GPU: stock TRL's numbers in both types, and a stopped run that continues as if undisturbed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny import Tiny, tiny_settings

COMPARED = ("loss", "grad_norm", "rewards/margins", "logps/chosen", "logps/rejected", "entropy")
FLOOR = {"float32": 2e-5, "bfloat16": 2**-7}
"""Least tolerance, relative to 1 + the value: one unit of bfloat16's 8 bits, and float32's sums in another order."""
MULTIPLE = 4
"""Tolerance as a multiple of the difference between a plain batch and the same rows in smaller batches."""

Steps = Sequence[dict[str, float]]


def differences(some: Steps, others: Steps) -> dict[str, float]:
    """Return the largest difference of each number over the steps, relative to 1 + its size."""
    assert len(some) == len(others) > 0
    return {
        name: max(abs(a[name] - b[name]) / (1 + abs(b[name])) for a, b in zip(some, others, strict=True))
        for name in COMPARED
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_has_the_numbers_of_stock_trl(device: str, tiny: Tiny, tmp_path: Path, dtype: str) -> None:
    """With and without a shared prefix in packed rows; the tolerance is what the size of a plain batch changes."""
    from tests.training.test_trainer import ours, stock

    def settings(**overrides: Any) -> Any:
        return tiny_settings(tiny.model, model__dtype=dtype, train__tf32=False, lr=1e-3, **overrides)

    expected, _ = stock(tiny, settings(), tmp_path / "stock", tiny.pairs)
    halves = {"train__per_device_train_batch_size": 2, "train__gradient_accumulation_steps": 2}
    smaller, _ = stock(tiny, settings(**halves), tmp_path / "smaller", tiny.pairs)
    rounding = differences(smaller, expected)
    for sharing in (True, False):
        logged = ours(tiny, settings(train__prefix_sharing=sharing), tmp_path / f"ours-{sharing}")
        found = differences(logged, expected)
        allowed = {name: max(MULTIPLE * rounding[name], FLOOR[dtype]) for name in COMPARED}
        assert {name: value for name, value in found.items() if value > allowed[name]} == {}, (sharing, allowed)
        assert logged[-1]["rewards/margins"] != 0


class Stop(Exception):
    """Raised after a step, in place of a kill."""


def test_a_stopped_run_continues_as_an_undisturbed_one(device: str, tiny: Tiny, tmp_path: Path) -> None:
    """Bit-equal on the CPU; on a GPU about as near to two undisturbed runs as they are to each other."""
    import torch
    from safetensors.torch import load_file

    from mmdpo.training.run import train_adapter
    from tests.training.killed import SETTINGS

    def run(name: str, stop_after: int = 0) -> dict[str, Any]:
        def log(metrics: dict[str, float], step: int) -> None:
            if step == stop_after:
                raise Stop

        settings = tiny_settings(tiny.model, **SETTINGS)
        train_adapter(settings, tiny.pairs, tiny.images, tmp_path / name, log, resumed.append)
        return load_file(tmp_path / name / "adapter/adapter_model.safetensors")

    def gap(some: dict[str, Any], others: dict[str, Any]) -> float:
        assert some.keys() == others.keys()
        return max(float((some[name] - others[name]).abs().max()) for name in some)

    resumed: list[int] = []
    first, second = run("first"), run("second")
    with pytest.raises(Stop):
        run("stopped", stop_after=5)
    continued = run("stopped")
    assert resumed == [0, 0, 0, 4]
    assert all(bool(value.any()) for name, value in continued.items() if "lora_B" in name)
    noise = gap(first, second)
    assert device == "cuda" or noise == 0
    assert gap(continued, first) <= (max(4 * noise, 1e-6) if device == "cuda" else 0)
    assert noise < 1e-3, "two undisturbed runs differ by more than the order of sums can explain"
    assert torch.are_deterministic_algorithms_enabled() is (device == "cuda")
