"""Typed settings of `train.fit`."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir

from mmdpo.config.schema import CONF
from mmdpo.entry.compose_points import compose_points


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        (["beta=0.2", "train=paper"], []),  # a preset is not typed
        (["train.zero_stage=0", "train.activation_checkpointing=true"], ["activation_checkpointing", "zero_stage"]),
        (["method.per_device_train_batch_size=2", "train=paper"], ["per_device_train_batch_size"]),
        (["train.fit_keeps=[zero_stage]", "train.zero_stage=0"], ["zero_stage"]),
    ],
)
def test_typed_settings_are_kept(overrides: list[str], kept: list[str]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        configs = compose_points(lambda line: compose("config", line), [overrides])
        assert [config.train.fit_keeps for config in configs] == [kept]
