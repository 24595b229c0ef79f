"""Devices of the tests that a GPU needs. `make test-gpu` runs them on one; `.ci/run` runs some on the CPU as well.

Heavy libraries are imported within fixtures and tests, because most test runs only collect this folder.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = "MMDPO_TESTS_NEED_GPU"  # set by `make test-gpu`: tests fail instead of being skipped without a GPU
DEVICES = [pytest.param("cuda", marks=pytest.mark.gpu), pytest.param("cpu", marks=pytest.mark.exhaustive)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """The device that mmdpo uses within the test, with deterministic kernels where there are some."""
    import torch

    if request.param == "cpu":
        if torch.cuda.is_available():
            pytest.skip("a GPU is visible, which mmdpo would use; `CUDA_VISIBLE_DEVICES=` tests the CPU")
        yield "cpu"
        return
    if not torch.cuda.is_available():
        (pytest.fail if os.environ.get(NEEDED) else pytest.skip)("no GPU is visible; `make test-gpu` shows one")
    gc.collect()  # of models that earlier tests have left in reference cycles
    torch.cuda.empty_cache()
    torch.use_deterministic_algorithms(True, warn_only=True)  # CUBLAS_WORKSPACE_CONFIG is set by `make test-gpu`
    yield "cuda"
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache for each test."""
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
