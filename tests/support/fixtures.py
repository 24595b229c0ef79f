"""Fixtures that tests in several folders use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.tiny import Tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """One tiny model, and pairs with and without images."""
    from tests.support.tiny import Tiny, save_tiny_llava, tiny_pairs

    root = tmp_path_factory.mktemp("tiny")
    return Tiny(save_tiny_llava(root / "model"), tiny_pairs(root / "images"), root / "images")


@pytest.fixture(scope="module")
def ended_service() -> Iterator[None]:
    """End W&B's service, which programs started by other tests would find and share."""
    yield
    import wandb

    wandb.teardown()


@pytest.fixture
def online_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget that an earlier test could not reach a W&B server."""
    from mmdpo import wandb_service

    monkeypatch.setattr(wandb_service, "_online_failed", False)
