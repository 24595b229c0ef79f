"""One tiny model, and pairs with and without images, for all tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.tiny import Tiny, save_tiny_llava, tiny_pairs


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    root = tmp_path_factory.mktemp("tiny")
    return Tiny(save_tiny_llava(root / "model"), tiny_pairs(root / "images"), root / "images")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)
