"""Trainings that stop at rungs, compared with undisturbed ones bit by bit, and the steps of rungs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmdpo.config.schema import TrainConfig
from mmdpo.errors import UserError
from mmdpo.training.resume import Checkpoint, complete
from mmdpo.training.run import train_adapter
from mmdpo.training.rungs import Rung, keep_rung, rung_step, step_to_stop_at
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
    ("share", "warmup", "found"),
    [(0.1, 0.0, 1), (0.1, 0.3, None), (0.2, 0.3, 2), (0.4, 0.3, 4), (0.95, 0.0, None)],
)
def test_rungs_at_which_nothing_is_learned_are_refused(
    share: float, warmup: float, found: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    train = TrainConfig("t", num_train_epochs=1, per_device_train_batch_size=4, gradient_accumulation_steps=1)
    train = dataclasses.replace(train, logging_steps=1, warmup_ratio=warmup)
    rung = Rung(share, Path("unused"), "hydra.sweeper.rungs", "hydra/sweeper/pruner=none")
    if found is None:
        with pytest.raises(UserError, match=r"hydra\.sweeper\.rungs: .*hydra/sweeper/pruner=none"):
            step_to_stop_at(train, rung, examples=40)  # 10 steps
    else:
        assert step_to_stop_at(train, rung, examples=40) == found
        assert ("warmup takes 3" in capsys.readouterr().out) == (found == 2)


def test_an_adapter_that_has_not_changed_is_no_rung(tmp_path: Path) -> None:
    zeros = {"m.lora_A.weight": np.ones((2, 2), np.float32), "m.lora_B.weight": np.zeros((2, 2), np.float32)}
    save_file(zeros, tmp_path / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"search\.rungs: .*larger"):
        keep_rung(Checkpoint(tmp_path, 3, "run", {}), 3, Rung(0.25, tmp_path / "point/rungs/0.25/adapter"))
    assert not (tmp_path / "point").exists()


@pytest.mark.parametrize(
    ("share", "logging_steps", "step"), [(0.25, 1, 8), (0.1, 1, 3), (0.5, 1, 15), (0.25, 10, 10), (0.5, 7, 21)]
)
def test_a_rung_is_a_step_that_is_logged(share: float, logging_steps: int, step: int) -> None:
    train = dataclasses.replace(
        TrainConfig("t", num_train_epochs=3, per_device_train_batch_size=4, gradient_accumulation_steps=1),
        logging_steps=logging_steps,
    )
    assert rung_step(train, share, examples=40) == step  # of 30
