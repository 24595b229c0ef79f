"""TF32 is on while a model is trained, as configured, and what is computed before and after does not depend on it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch

from mmdpo.training import precision
from mmdpo.training.precision import tf32
from mmdpo.training.run import train_adapter
from tests.support.tiny import Tiny, tiny_settings

pytestmark = pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9")


def of_products() -> str:
    return str(torch.backends.cuda.matmul.fp32_precision)


@pytest.fixture
def ampere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that has TF32, as far as this can be asked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))


@pytest.mark.usefixtures("ampere")
def test_it_is_set_each_time_and_for_the_block_alone() -> None:
    before = of_products()
    for enabled in (True, False, True):  # transformers' own function would ignore the third
        with tf32(enabled):
            assert of_products() == ("tf32" if enabled else "ieee")
        assert of_products() == before
    with contextlib.suppress(KeyboardInterrupt), tf32(True):
        raise KeyboardInterrupt
    assert of_products() == before


def test_nothing_changes_on_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = of_products()
    with tf32(True):
        assert of_products() == before


@pytest.mark.parametrize("enabled", [True, False])
def test_a_training_uses_it_as_configured(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    monkeypatch.setattr(precision, "has_tf32", lambda: True)
    before, seen = of_products(), set()
    train_adapter(
        tiny_settings(tiny.model, train__tf32=enabled), tiny.pairs, tiny.images, tmp_path,
        lambda metrics, step: seen.add(of_products()), lambda step: None,
    )  # fmt: skip
    assert seen == {"tf32" if enabled else "ieee"}
    assert of_products() == before
