"""Trainings in which rows of a prompt share a batch, compared with separate rows in the same batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import TrainOn
from mmdpo.training import collate
from mmdpo.training.run import TrainSummary, train_adapter
from mmdpo.training.trainer import LoraTrainerMixin
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_settings
from tests.training.test_prompt_groups import pairs, steered

SFT = {"method__loss_type": None, "method__train_on": TrainOn.rated_completions, "beta": None}
HALVED = {"train__per_device_train_batch_size": 3, "train__gradient_accumulation_steps": 2}


class Killed(Exception):
    """Stand-in for a signal."""


def examples_of(overrides: dict[str, Any], tiny: Tiny) -> list[Any]:
    if overrides.get("method__train_on"):
        return [*steered("1.png", "what is there"), *steered("2.png", "where is it"), *steered("4.png", "where")[:2]]
    return [*pairs("1.png"), *tiny.pairs[:4]]


def train(
    tiny: Tiny, folder: Path, die_after: int | None = None, **overrides: Any
) -> tuple[list[dict[str, float]], TrainSummary]:
    logged: dict[int, dict[str, float]] = {}

    def log(metrics: dict[str, float], step: int) -> None:
        logged[step] = {name: value for name, value in metrics.items() if name not in OF_THE_MACHINE}
        if step == die_after:
            raise Killed

    settings = tiny_settings(tiny.model, **{"train__num_train_epochs": 2.0, **overrides})
    examples: Sequence[Any] = examples_of(overrides, tiny)
    summary = train_adapter(settings, examples, tiny.images, folder, log, lambda step: None)
    return [logged[step] for step in sorted(logged)], summary


@pytest.mark.parametrize(
    "overrides",
    [
        {**SFT, **HALVED},
        {"method__fine_grained": True, **HALVED},
        {"method__loss_type": "ipo", "train__activation_checkpointing": True},
    ],
    ids=["sft", "fine_grained", "ipo"],
)
def test_every_step_has_the_numbers_of_separate_rows(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any]
) -> None:
    found, summary = train(tiny, tmp_path / "once", **overrides)
    assert 1 < summary.prompts < summary.examples
    assert summary.prefix_sharing
    monkeypatch.setattr(collate, "trees_of", lambda rows, processor: [[index] for index in range(len(rows))])
    expected, _ = train(tiny, tmp_path / "separate", **overrides)
    assert len(found) == len(expected) >= 4
    assert [step["loss"] for step in found] == pytest.approx([step["loss"] for step in expected], abs=1e-6, rel=1e-6)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"rewards/accuracies", "logps/chosen_below_reference"}:  # ties at zero at first
            assert one[name] == pytest.approx(other[name], abs=2e-6, rel=1e-5), name
    assert len({step["loss"] for step in found}) > 2


def test_batches_are_of_separate_rows_where_that_is_asked_for(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    count = LoraTrainerMixin._count_rows
    monkeypatch.setattr(
        LoraTrainerMixin, "_count_rows", lambda self, batch: (sizes.append(len(batch["rows"])), count(self, batch))[1]
    )
    _, once = train(tiny, tmp_path / "once", **SFT)
    assert "12 rows of 3 prompts" in capsys.readouterr().out
    assert sizes == [4, 4, 4] * 2
    _, separate = train(tiny, tmp_path / "separate", **SFT, train__prompt_once=False)
    assert (once.prompts, separate.prompts, separate.prefix_sharing) == (3, 0, False)
    assert "train.prompt_once" not in capsys.readouterr().out


def test_a_killed_run_ends_as_an_undisturbed_one(tiny: Tiny, tmp_path: Path) -> None:
    overrides = {**SFT, **HALVED, "train__num_train_epochs": 3.0, "train__save_steps": 1}
    expected, _ = train(tiny, tmp_path / "undisturbed", **overrides)
    steps = len(expected)
    for after in (steps - 3, steps - 1):  # in the middle of an epoch
        with pytest.raises(Killed):
            train(tiny, tmp_path / "killed", die_after=after, **overrides)
    found, _ = train(tiny, tmp_path / "killed", **overrides)
    assert found == expected[-len(found) :]
    assert len(found) < steps
    names = [folder / "adapter/adapter_model.safetensors" for folder in (tmp_path / "undisturbed", tmp_path / "killed")]
    assert names[0].read_bytes() == names[1].read_bytes()
