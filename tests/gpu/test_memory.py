"""The predicted peak memory of a training against what a GPU allocates."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.random_model import random_pairs, save_random_model
from tests.support.tiny import tiny_settings

WIDTHS = (1024, 2752, 8, 8, 320, 5)  # 110 million parameters
WORST = 0.1  # relative error


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
@pytest.mark.parametrize("recompute", [False, True])
def test_the_predicted_peak_is_that_of_the_allocator(device: str, tmp_path: Path, recompute: bool) -> None:
    import torch

    from mmdpo.config.choices import FITTED
    from mmdpo.training.run import train_adapter

    save_random_model(tmp_path / "model", WIDTHS)
    settings = tiny_settings(tmp_path / "model", model__dtype="bfloat16", lr=1e-3)
    settings.train.max_text_tokens = None
    settings.train.activation_checkpointing = recompute
    settings.train.precompute_ref_batch_size = 1
    settings.train.fit_keeps = list(FITTED)  # so that the plan is the configured one
    pairs = random_pairs(8, (30, 30), (100, 100), text_only=0)
    summary = train_adapter(
        settings, pairs, tmp_path / "model", tmp_path, lambda *_: None, lambda _: torch.cuda.reset_peak_memory_stats()
    )
    measured = torch.cuda.max_memory_allocated() / 2**30
    assert summary.fit["activation_checkpointing"] is recompute
    assert summary.fit["out_of_memory"] == 0
    assert summary.fit["predicted_peak_gib"] == pytest.approx(measured, rel=WORST)
