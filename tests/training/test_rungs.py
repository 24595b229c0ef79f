"""Trainings that stop at rungs, compared with undisturbed ones bit by bit, and the steps of rungs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mmdpo.config.schema import TrainConfig
from mmdpo.errors import UserError
from mmdpo.training.resume import complete
from mmdpo.training.run import train_adapter
from mmdpo.training.rungs import Rung, rung_step
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_settings
from tests.training.killed import SETTINGS

Logged = dict[int, dict[str, float]]


def train(tiny: Tiny, folder: Path, logged: Logged, rung: float | None = None, starts_at: int = 0) -> int:
    def log(metrics: dict[str, float], step: int) -> None:
        logged[step] = {name: value for name, value in metrics.items() if name not in OF_THE_MACHINE}

    started: list[int] = []
    place = None if rung is None else Rung(rung, folder / f"rungs/{rung:g}/adapter")
    settings = tiny_settings(tiny.model, **{**SETTINGS, "train__save_steps": 50})
    summary = train_adapter(settings, tiny.pairs, tiny.images, folder, log, started.append, rung=place)
    assert started == [starts_at]
    return summary.steps


def test_a_training_that_stops_at_rungs_ends_as_an_undisturbed_one(tiny: Tiny, tmp_path: Path) -> None:
    alone: Logged = {}
    logged: Logged = {}
    train(tiny, tmp_path / "alone", alone)
    folder = tmp_path / "stopping"
    assert train(tiny, folder, logged, 0.25) == 3  # of 9; the last step of an epoch
    assert max(logged) == 3
    assert not (folder / "adapter").exists()
    assert train(tiny, folder, logged, 0.25, starts_at=3) == 3  # as after a kill before the rung was noted
    assert train(tiny, folder, logged, 0.5, starts_at=3) == 5  # within an epoch
    assert [checkpoint.step for checkpoint in complete(folder / "checkpoints")] == [5]
    rungs = [(folder / f"rungs/{name}/adapter/adapter_model.safetensors").read_bytes() for name in ("0.25", "0.5")]
    with pytest.raises(UserError, match="search=none"):  # the checkpoint is beyond it
        train(tiny, folder, logged, 0.25, starts_at=5)
    assert train(tiny, folder, logged, starts_at=5) == 9
    assert logged == alone
    final = (folder / "adapter/adapter_model.safetensors").read_bytes()
    assert final == (tmp_path / "alone/adapter/adapter_model.safetensors").read_bytes()
    assert len({*rungs, final}) == 3


def test_a_rung_that_is_not_before_the_end_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"search\.rungs"):
        train(tiny, tmp_path, {}, 0.9)


@pytest.mark.parametrize(
    ("share", "logging_steps", "step"), [(0.25, 1, 8), (0.1, 1, 3), (0.5, 1, 15), (0.25, 10, 10), (0.5, 7, 21)]
)
def test_a_rung_is_a_step_that_is_logged(share: float, logging_steps: int, step: int) -> None:
    train = dataclasses.replace(
        TrainConfig("t", num_train_epochs=3, per_device_train_batch_size=4, gradient_accumulation_steps=1),
        logging_steps=logging_steps,
    )
    assert rung_step(train, share, examples=40) == step  # of 30
